/* SPDX-License-Identifier: MIT */
/*
 * A local variable of a thread: that sleeps in a call (one that a library may
 * wrap, one that it can't), that runs.
 *
 * truth: poll keep | clean
 * truth: poll drop | 1/4242
 * truth: futex keep | clean
 * truth: futex drop | 1/4242
 * truth: spin keep | clean
 * truth: spin drop | 1/4242
 */
#include "truth.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>

static volatile int ready;
static bool keep, use_poll, use_futex;

static NOINLINE void wait_for_ever(void)
{
	int word = 0;

	clobber();
	ready = 1;
	while (use_poll)
		poll(NULL, 0, -1);
	while (use_futex)
		syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
	for (;;)
		;
}

static void *thread(void *arg)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	if (!keep)
		local = NULL;
	wait_for_ever();
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	keep = said(argc, argv, "keep");
	use_poll = said(argc, argv, "poll");
	use_futex = said(argc, argv, "futex");
	MUST(!pthread_create(&t, NULL, thread, NULL));
	while (!ready)
		;
	usleep(1000);
	now();
	return 0;
}
