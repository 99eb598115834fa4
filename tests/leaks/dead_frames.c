/* SPDX-License-Identifier: MIT */
/*
 * Frames of calls that have returned are no roots, below a caller that is still
 * there: of main when it has called exit, of a thread in a loop, of a thread
 * asleep in a call. (But for the 128 bytes just below a stack pointer, and what
 * the kernel may leave untouched between there and a signal's frame; so these
 * are clean here.)
 *
 * truth: main | 1/4242
 * truth: exit | 1/4242
 * truth: thread | 1/4242
 * truth: asleep | 1/4242
 */
#include "truth.h"

#include <poll.h>
#include <pthread.h>

static volatile int ready;
static bool asleep;

/* Copies at many depths; all dead as soon as it returns. */
static NOINLINE void litter(int depth)
{
	void *volatile here[64];
	static cookie c;

	if (!c)
		c = make(MARKER);
	for (int i = 0; i < 64; i++)
		put((void *)&here[i], c, 0);
	if (depth)
		litter(depth - 1);
	MUST(here[0]);
}

static NOINLINE void litter_below(void)
{
	volatile char clean[512];

	for (size_t i = 0; i < sizeof(clean); i++)
		clean[i] = 0;
	litter(20);
	clean[0] = 1;
}

static void *thread(void *arg)
{
	litter_below();
	clobber_registers();
	ready = 1;
	while (asleep)
		poll(NULL, 0, -1);
	for (;;)
		;
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	asleep = said(argc, argv, "asleep");
	if (asleep || said(argc, argv, "thread")) {
		MUST(!pthread_create(&t, NULL, thread, NULL));
		while (!ready)
			;
		usleep(1000);
	} else {
		litter_below();
		clobber_registers();
	}
	now();
	if (said(argc, argv, "exit"))
		exit(0);
	return 0;
}
