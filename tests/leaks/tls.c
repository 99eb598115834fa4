/* SPDX-License-Identifier: MIT */
/*
 * Thread-local variables of the program: main's, and a living thread's.
 *
 * truth: main keep | clean
 * truth: main drop | 1/4242
 * truth: thread keep | clean
 * truth: thread drop | 1/4242
 */
#include "truth.h"

#include <pthread.h>

static __thread void *zero, *filled = (void *)8;
static volatile int ready;
static bool keep;

static NOINLINE void hold(void)
{
	cookie c = make(MARKER);

	put(&zero, c, 0);
	put(&filled, c, 0);
	if (!keep)
		zero = filled = NULL;
	clobber();
}

static void *thread(void *arg)
{
	hold();
	ready = 1;
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	keep = said(argc, argv, "keep");
	if (said(argc, argv, "main")) {
		hold();
	} else {
		MUST(!pthread_create(&t, NULL, thread, NULL));
		while (!ready)
			;
	}
	now();
	return 0;
}
