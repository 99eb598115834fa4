/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_LEAKS_THREAD_H
#define GOSTAT_TESTS_LEAKS_THREAD_H

/* A second thread, for programs whose truth is about what threads have. */
#include "truth.h"

#include <pthread.h>

static volatile int ready; /* it has done what it shall */

/* fn(NULL) in a thread that sets ready, and does not end. */
static inline void start_thread(void *(*fn)(void *))
{
	pthread_t t;

	MUST(!pthread_create(&t, NULL, fn, NULL));
	while (!ready)
		;
}

static void (*thread_hold)(void);

static inline void *hold_for_ever(void *arg)
{
	thread_hold();
	ready = 1;
	for (;;)
		pause();
	return arg;
}

/* hold() in a thread that waits then, for ever. */
static inline void hold_in_thread(void (*hold)(void))
{
	thread_hold = hold;
	start_thread(hold_for_ever);
}

#endif
