/* SPDX-License-Identifier: MIT */
/*
 * A thread that has blocked all signals behind libc's back, and runs.
 *
 * truth: keep | clean
 * truth: drop | 1/4242
 * truth: sleeping keep | clean
 * truth: sleeping drop | 1/4242
 */
#include "truth.h"

#include <linux/futex.h>
#include <pthread.h>

static volatile int ready;
static bool keep, sleeping;

static NOINLINE void deafen(void)
{
	uint64_t all = ~(uint64_t)0;
	int word = 0;

	clobber();
	MUST(!syscall(SYS_rt_sigprocmask, 2, &all, NULL, sizeof(all)));
	ready = 1;
	while (sleeping)
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
	deafen();
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	keep = said(argc, argv, "keep");
	sleeping = said(argc, argv, "sleeping");
	MUST(!pthread_create(&t, NULL, thread, NULL));
	while (!ready)
		;
	usleep(1000);
	now();
	return 0;
}
