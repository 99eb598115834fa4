/* SPDX-License-Identifier: MIT */
/*
 * state: prints what a process can see of itself through the calls that
 * programs use: signal handlers, mask, descriptors, limits, environment,
 * locale, timers, threads, children. A library that lives in it shows nowhere.
 */
#include "work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void signals(void)
{
	struct sigaction sa;
	sigset_t mask, pending;
	stack_t alt;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	sigpending(&pending);
	for (int s = 1; s < NSIG; s++) {
		errno = 0;
		memset(&sa, 0, sizeof(sa));
		sigaction(s, NULL, &sa);
		printf("%d: %s %x %s%s%s\n", s,
			sa.sa_handler == SIG_DFL  ? "default"
			: sa.sa_handler == SIG_IGN ? "ignored"
						   : "handled",
			(unsigned)sa.sa_flags, strerror(errno),
			sigismember(&mask, s) == 1 ? " blocked" : "",
			sigismember(&pending, s) == 1 ? " pending" : "");
	}
	sigaltstack(NULL, &alt);
	printf("stack %d %zu\n", alt.ss_flags, alt.ss_size);
}

static void descriptors(void)
{
	struct stat st;

	for (int fd = 0; fd < 1024; fd++)
		if (fstat(fd, &st) == 0)
			printf("fd %d: %o %x %x\n", fd, st.st_mode & S_IFMT,
				(unsigned)fcntl(fd, F_GETFL),
				(unsigned)fcntl(fd, F_GETFD));
}

static void limits(void)
{
	struct rlimit r;

	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit((unsigned)i, &r) == 0)
			printf("limit %d: %llx %llx\n", i,
				(unsigned long long)r.rlim_cur,
				(unsigned long long)r.rlim_max);
}

static void attributes(void)
{
	static const int get[] = {PR_GET_DUMPABLE, PR_GET_KEEPCAPS,
		PR_GET_TIMERSLACK, PR_GET_NO_NEW_PRIVS, PR_GET_THP_DISABLE,
		PR_GET_SECCOMP, PR_GET_SECUREBITS};
	struct itimerval it;
	pthread_attr_t attr;
	cpu_set_t cpus;
	char name[16] = "";
	size_t stack;
	int death = 0, reaper = 0;

	for (size_t i = 0; i < sizeof(get) / sizeof(get[0]); i++)
		printf("prctl %d: %d\n", get[i], prctl(get[i], 0, 0, 0, 0));
	prctl(PR_GET_NAME, name);
	prctl(PR_GET_PDEATHSIG, &death);
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	printf("%s %d %d %lx %d %d %o\n", name, death, reaper,
		(unsigned long)personality(0xffffffff), getpriority(0, 0),
		sched_getscheduler(0), (unsigned)umask(022));
	for (int i = 0; i < 3; i++) {
		getitimer(i, &it);
		printf("timer %ld %ld\n", it.it_value.tv_sec,
			it.it_value.tv_usec);
	}
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	pthread_getattr_default_np(&attr);
	pthread_attr_getstacksize(&attr, &stack);
	printf("%d cpus, stack %zu, rounding %d, locale %s\n",
		CPU_COUNT(&cpus), stack, fegetround(), setlocale(LC_ALL, NULL));
}

static int tasks(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	printf("errno %d, argc %d, %s\n", errno, argc, strrchr(*argv, '/'));
	printf("work %d\n", work(1, 20000) != 0);
	signals();
	descriptors();
	limits();
	attributes();
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) != 0)
			puts(*e);
	printf("threads %d\n", tasks());
	printf("wait %d", (int)waitpid(-1, NULL, WNOHANG));
	printf(" %s\n", strerror(errno));
	return 0;
}
