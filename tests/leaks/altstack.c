/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers on an alternate stack: what lies on that stack is in use, and
 * what lies on the one that was interrupted.
 *
 * truth: main handler keep | clean
 * truth: main handler drop | 1/4242
 * truth: main below keep | clean
 * truth: main below drop | 1/4242
 * truth: thread handler keep | clean
 * truth: thread handler drop | 1/4242
 * truth: thread below keep | clean
 * truth: thread below drop | 1/4242
 */
#include "truth.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

enum { SIZE = 256 << 10 };

static bool in_main, in_handler, keep;
static volatile int ready;

static NOINLINE void end(void)
{
	if (in_main) {
		now();
		exit(0);
	}
	ready = 1;
	for (;;)
		pause();
}

static void handler(int sig)
{
	void *volatile local = NULL;

	(void)sig;
	if (in_handler) {
		put((void *)&local, make(MARKER), 0);
		if (!keep)
			local = NULL;
		clobber();
	}
	end();
	MUST(local == NULL);
}

static NOINLINE void interrupted(void)
{
	void *volatile local = NULL;

	if (!in_handler) {
		put((void *)&local, make(MARKER), 0);
		if (!keep)
			local = NULL;
		clobber();
	}
	raise(SIGUSR2);
	MUST(local == NULL);
}

static void *run(void *arg)
{
	stack_t ss = {.ss_size = SIZE};
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	ss.ss_sp = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(ss.ss_sp != MAP_FAILED);
	MUST(!sigaltstack(&ss, NULL));
	MUST(!sigaction(SIGUSR2, &sa, NULL));
	interrupted();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	in_main = said(argc, argv, "main");
	in_handler = said(argc, argv, "handler");
	keep = said(argc, argv, "keep");
	if (in_main)
		run(NULL);
	MUST(!pthread_create(&t, NULL, run, NULL));
	while (!ready)
		;
	now();
	return 0;
}
