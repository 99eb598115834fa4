/* SPDX-License-Identifier: MIT */
/*
 * signals: a program with handlers of its own, SIGUSR1's among them, which
 * allocates while signals rain on it and reads its handlers back.
 */
#include "work.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t seen[NSIG];
static volatile sig_atomic_t on_stack;
static char *low, *high;

static void count(int sig)
{
	char here;

	seen[sig]++;
	on_stack += &here > low && &here < high;
}

static void informed(int sig, siginfo_t *info, void *context)
{
	seen[sig] += context != NULL && info->si_pid == getpid();
}

static void install(int sig, int flags)
{
	struct sigaction sa = {.sa_flags = flags}, old;

	if (flags & SA_SIGINFO)
		sa.sa_sigaction = informed;
	else
		sa.sa_handler = count;
	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaction(sig, &sa, &old);
	printf("%d was %s\n", sig,
		old.sa_handler == SIG_DFL ? "default" : "other");
	sigaction(sig, NULL, &old);
	printf("%d is %s %x %d\n", sig,
		old.sa_handler == sa.sa_handler ? "ours" : "other",
		(unsigned)old.sa_flags, sigismember(&old.sa_mask, SIGUSR2));
}

static void rain(void)
{
	struct itimerval on = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};

	install(SIGALRM, SA_RESTART | SA_ONSTACK);
	setitimer(ITIMER_REAL, &on, NULL);
	for (uint32_t i = 0; i < 20; i++)
		if (work(i, 3000) == 0)
			puts("damaged");
	while (seen[SIGALRM] < 20)
		pause();
	setitimer(ITIMER_REAL, &off, NULL);
	printf("rained: %d, on the alternate stack: %d\n",
		seen[SIGALRM] >= 20, on_stack == seen[SIGALRM]);
}

static void accepted(void)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int sig, fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	sigwait(&set, &sig);
	printf("sigwait %d\n", sig);
	fd = signalfd(-1, &set, 0);
	raise(SIGUSR1);
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		printf("signalfd %u\n", info.ssi_signo);
	close(fd);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(void)
{
	enum { SIZE = 65536 };
	stack_t alt = {.ss_size = SIZE};

	alt.ss_sp = malloc(SIZE);
	low = alt.ss_sp;
	high = low + SIZE;
	sigaltstack(&alt, NULL);
	accepted();
	install(SIGUSR1, SA_SIGINFO);
	for (int i = 0; i < 100; i++)
		kill(getpid(), SIGUSR1);
	printf("USR1 %d\n", seen[SIGUSR1]);
	install(SIGUSR2, 0);
	raise(SIGUSR2);
	printf("USR2 %d\n", seen[SIGUSR2]);
	rain();
	printf("%d\n", signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	raise(SIGUSR1);
	printf("%d\n", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	errno = 0;
	printf("%d ", signal(NSIG + 1, SIG_IGN) == SIG_ERR);
	printf("%s\n", strerror(errno));
	return 0;
}
