/* SPDX-License-Identifier: MIT */
/*
 * A local variable of a thread: that sleeps in a call (one that a library may
 * wrap, one that it can't), that runs; that has blocked all signals behind
 * libc's back.
 *
 * truth: poll keep | clean
 * truth: poll drop | 1/4242
 * truth: futex keep | clean
 * truth: futex drop | 1/4242
 * truth: spin keep | clean
 * truth: spin drop | 1/4242
 * truth: deaf futex keep | clean
 * truth: deaf futex drop | 1/4242
 * truth: deaf spin keep | clean
 * truth: deaf spin drop | 1/4242
 */
#include "thread.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>

static bool keep, deaf, use_poll, use_futex;

static NOINLINE void wait_for_ever(void)
{
	uint64_t all = ~(uint64_t)0;
	int word = 0;

	clobber();
	if (deaf)
		MUST(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL,
			sizeof(all)));
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
	keep = said(argc, argv, "keep");
	deaf = said(argc, argv, "deaf");
	use_poll = said(argc, argv, "poll");
	use_futex = said(argc, argv, "futex");
	start_thread(thread);
	usleep(1000);
	now();
	return 0;
}
