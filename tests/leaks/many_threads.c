/* SPDX-License-Identifier: MIT */
/*
 * Hundreds of living threads, each with an object of its own; half of them let
 * go of it.
 *
 * truth: keep | clean
 * truth: half | 100/424200
 */
#include "truth.h"

#include <pthread.h>

enum { N = 200 };

static volatile int ready;
static bool half;

static void *thread(void *arg)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	if (half && (uintptr_t)arg % 2)
		local = NULL;
	clobber();
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t a;
	pthread_t t;

	half = said(argc, argv, "half");
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 128 << 10);
	for (uintptr_t i = 0; i < N; i++)
		MUST(!pthread_create(&t, &a, thread, (void *)i));
	while (ready < N)
		usleep(1000);
	now();
	return 0;
}
