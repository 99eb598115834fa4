/* SPDX-License-Identifier: MIT */
/*
 * Frames of calls that have returned are no roots, below a caller that is still
 * there: of main when it has called exit, of a thread in a loop, of a thread
 * asleep in a call. But for the 128 bytes just below a stack pointer: these are
 * clean here. The frame of the signal that stops a thread is another trap,
 * since the kernel does not write all of it.
 *
 * truth: main | 1/4242
 * truth: exit | 1/4242
 * truth: thread | 1/4242
 * truth: asleep | 1/4242
 * truth: frame | 1/4242 modes=exit,strict
 */
#include "truth.h"

#include <poll.h>
#include <pthread.h>

static volatile int ready;
static bool asleep, close_by;

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

/* A signal's frame and its handler's, or the red zone alone, stay clean. */
static NOINLINE void litter_below(void)
{
	volatile char clean[8 << 10];

	for (size_t i = 0; i < sizeof(clean); i++)
		clean[i] = 0;
	litter(20);
	clean[0] = 1;
}

static NOINLINE void litter_close(void)
{
	volatile char clean[512];

	for (size_t i = 0; i < sizeof(clean); i++)
		clean[i] = 0;
	litter(20);
	clean[0] = 1;
}

static void *thread(void *arg)
{
	if (close_by)
		litter_close();
	else
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
	close_by = said(argc, argv, "frame");
	if (asleep || close_by || said(argc, argv, "thread")) {
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
