/* SPDX-License-Identifier: MIT */
/*
 * Children answer for what they have allocated themselves, and for nothing that
 * they have inherited.
 *
 * truth: clean exit | clean children=clean stdout=0
 * truth: clean _exit | clean children=clean stdout=0
 * truth: child exit | clean children=1/4242 stdout=23
 * truth: child _exit | clean children=1/4242 stdout=23
 * truth: child return | clean children=1/4242 stdout=23
 * truth: child thread | clean children=1/4242 stdout=23
 * truth: parent exit | 1/4242 children=clean stdout=0
 * truth: parent _exit | 1/4242 children=clean stdout=0
 * truth: parent child exit | 1/4242 children=1/4242 stdout=23
 * truth: grandchild exit | clean children=clean,1/4242 stdout=23
 * truth: exec | clean children=1/4242>clean stdout=0
 * truth: vfork | clean children=clean stdout=0
 * truth: parent vfork | 1/4242 children=clean stdout=0
 * truth: spawn | clean children=clean stdout=0
 * truth: threaded exit | clean children=clean stdout=0 reclaim=no
 * truth: threaded _exit | clean children=clean stdout=0 reclaim=no
 * truth: threaded child exit | clean children=1/4242 stdout=23
 * truth: dropped exit | clean children=clean stdout=0 reclaim=no
 */
#include "truth.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int ac;
static char **av;
static char *const again[] = {"forks", "nothing", NULL};
static void *inherited;
static volatile int ready;

static bool is(const char *word)
{
	return said(ac, av, word);
}

static void *end_here(void *arg)
{
	(void)arg;
	exit(0);
}

static NOINLINE int leak_child(void)
{
	pthread_t t;

	if (is("child") || is("exec"))
		make(MARKER);
	if (is("dropped"))
		inherited = NULL; /* not the child's leak */
	clobber();
	now();
	if (is("_exit"))
		_exit(0);
	if (is("exit"))
		exit(0);
	if (is("exec"))
		execv("/proc/self/exe", again);
	if (is("thread")) {
		MUST(!pthread_create(&t, NULL, end_here, NULL));
		for (;;)
			pause();
	}
	return 0;
}

static int status_of(pid_t pid)
{
	int status = 0;

	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static NOINLINE void grandchild(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		make(MARKER);
		clobber();
		now();
		exit(0);
	}
	status = status_of(pid);
	_exit(status);
}

static NOINLINE pid_t by_spawn(void)
{
	pid_t pid;

	MUST(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, again, environ));
	return pid;
}

static NOINLINE pid_t by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execv("/proc/self/exe", again);
		_exit(98);
	}
	return pid;
}

/* Holds an object on its stack, which the child has a copy of and no thread. */
static void *holder(void *arg)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	clobber();
	ready = 1;
	for (;;)
		pause();
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;
	pid_t pid;

	ac = argc;
	av = argv;
	if (is("nothing"))
		return 0;
	if (is("parent"))
		make(MARKER);
	put(&inherited, make(MARKER), 0);
	if (is("threaded")) {
		MUST(!pthread_create(&t, NULL, holder, NULL));
		while (!ready)
			;
	}
	clobber();
	if (is("spawn"))
		pid = by_spawn();
	else if (is("vfork"))
		pid = by_vfork();
	else
		pid = fork();
	if (pid == 0 && is("grandchild"))
		grandchild();
	if (pid == 0)
		return leak_child();
	MUST(pid > 0);
	printf("%d\n", status_of(pid));
	fflush(stdout);
	if (!is("child"))
		now();
	return 0;
}
