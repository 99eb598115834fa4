/* SPDX-License-Identifier: MIT */
/*
 * The same leak, and every way to end.
 *
 * truth: return | 1/4242
 * truth: exit | 1/4242
 * truth: exit5 | 1/4242
 * truth: _exit | 1/4242
 * truth: _Exit | 1/4242
 * truth: exit_group | 1/4242
 * truth: raw_exit | 1/4242
 * truth: raw_exit_last_thread | 1/4242
 * truth: raw_execveat | 1/4242>clean status=0
 * truth: sysv | 1/4242 status=-15
 * truth: once | 1/4242 status=-15
 * truth: quick_exit | 1/4242
 * truth: abort | 1/4242 status=-6
 * truth: TERM | 1/4242 status=-15
 * truth: SEGV | 1/4242 status=-11
 * truth: KILLED | 1/4242 status=-15
 * truth: exec | 1/4242>clean status=0
 * truth: last_thread | 1/4242
 * truth: last_is_main_thread | 1/4242
 * truth: thread_exit | 1/4242
 * truth: thread__exit | 1/4242
 * truth: handler | 1/4242
 * truth: atexit | 1/4242
 * truth: KILL | none status=-9 modes=exit,strict
 * truth: HUP | 1/4242 status=-1
 * truth: INT | 1/4242 status=-2
 * truth: PIPE | 1/4242 status=-13
 * truth: FPE | 1/4242 status=-8
 * truth: bad_exec | 1/4242
 * truth: none bad_exec | clean
 * truth: none return | clean
 * truth: none exit5 | clean status=5
 * truth: none _exit5 | clean status=5
 * truth: none quick_exit | clean
 * truth: none last_thread | clean
 * truth: none thread__exit | clean status=6
 * truth: none exec | clean>clean
 * truth: none raw_exit | clean status=9
 * truth: none raw_exit_last_thread | clean status=3
 * truth: exit5 | 1/4242 status=5 env=GOSTAT_LEAKCHECK_EXITCODE=0
 * truth: _exit5 | 1/4242 status=71 env=GOSTAT_LEAKCHECK_EXITCODE=71
 * truth: exit5 | 1/4242 status=44 env=LSAN_OPTIONS=exitcode=44
 */
#include "truth.h"

#include <pthread.h>
#include <signal.h>

static const char *how = "return";
static char *self;
static volatile int *volatile nowhere;

static bool is(const char *way)
{
	return !strcmp(how, way);
}

/* Z in /proc/self/task/PID/stat. */
static NOINLINE void wait_for_end_of_main(void)
{
	char path[64], line[64] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	do {
		int fd = open(path, O_RDONLY);

		usleep(500);
		MUST(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
		close(fd);
	} while (!strstr(line, ") Z"));
	clobber();
}

static void *thread(void *arg)
{
	if (is("last_thread") || is("raw_exit_last_thread")) {
		wait_for_end_of_main();
		now();
	}
	if (is("raw_exit_last_thread"))
		syscall(SYS_exit, 3);
	if (strstr(how, "last"))
		return arg;
	now();
	if (is("thread_exit"))
		exit(6);
	_exit(6);
}

static void in_handler(int sig)
{
	(void)sig;
	_exit(7);
}

static void survives(int sig)
{
	(void)sig;
}

static void at_exit(void)
{
	_exit(8);
}

static NOINLINE void die(void)
{
	char *const again[] = {self, "none", "return", NULL};

	if (is("exit"))
		exit(0);
	if (is("exit5"))
		exit(5);
	if (is("_exit"))
		_exit(0);
	if (is("_exit5"))
		_exit(5);
	if (is("_Exit"))
		_Exit(0);
	if (is("exit_group"))
		syscall(SYS_exit_group, 0);
	if (is("raw_exit"))
		syscall(SYS_exit, 9);
	if (is("raw_execveat"))
		syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", again,
			environ, 0);
	if (is("sysv"))
		sysv_signal(SIGTERM, survives);
	if (is("once"))
		sigaction(SIGTERM, &(struct sigaction){.sa_handler = survives,
			.sa_flags = SA_RESETHAND}, NULL);
	if (is("sysv") || is("once")) {
		raise(SIGTERM);
		raise(SIGTERM);
	}
	if (is("quick_exit"))
		quick_exit(0);
	if (is("abort"))
		abort();
	if (is("TERM"))
		raise(SIGTERM);
	if (is("HUP"))
		raise(SIGHUP);
	if (is("INT"))
		raise(SIGINT);
	if (is("PIPE"))
		raise(SIGPIPE);
	if (is("FPE"))
		raise(SIGFPE);
	if (is("KILL"))
		raise(SIGKILL);
	if (is("bad_exec")) {
		execv("/nonexistent", again);
		execv("/", again);
		exit(0);
	}
	if (is("KILLED"))
		kill(getpid(), SIGTERM);
	if (is("SEGV"))
		*nowhere = 1;
	if (is("exec"))
		execv("/proc/self/exe", again);
	if (is("handler")) {
		signal(SIGALRM, in_handler);
		raise(SIGALRM);
	}
	if (is("atexit")) {
		atexit(at_exit);
		exit(0);
	}
	while (!is("return"))
		pause();
}

int main(int argc, char **argv)
{
	pthread_t t;

	self = argv[0];
	if (argc > 1)
		how = argv[argc - 1];
	if (!said(argc, argv, "none"))
		make(MARKER);
	clobber();
	if (strstr(how, "thread")) {
		MUST(!pthread_create(&t, NULL, thread, NULL));
		if (is("last_thread"))
			pthread_exit(NULL);
		/* Whose status it is, the first's or the last's, varies. */
		if (is("raw_exit_last_thread"))
			syscall(SYS_exit, 3);
		pthread_join(t, NULL);
		if (is("last_is_main_thread")) {
			now();
			pthread_exit(NULL);
		}
	}
	now();
	die();
	return 0;
}
