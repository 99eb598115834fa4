/* SPDX-License-Identifier: MIT */
/*
 * Four threads that allocate, link, hand over and free without a pause, while
 * leaks are looked for again and again, and at the end. Their objects are
 * always held; one other is not.
 *
 * truth: keep | clean
 * truth: leak | 1/4242
 */
#include "truth.h"

#include <pthread.h>

enum { N = 4, SLOTS = 256 };

static void *slot[N][SLOTS];
static volatile int ready;
void *root;

static void *thread(void *arg)
{
	void **mine = slot[(uintptr_t)arg];
	unsigned x = 12345 + (unsigned)(uintptr_t)arg;

	ready = 1;
	for (;;) {
		unsigned i;
		void *old, **p;

		x = x * 1664525 + 1013904223;
		i = x >> 16 & (SLOTS - 1);
		p = malloc(x >> 8 & 1023);
		old = __atomic_exchange_n(
			&slot[x >> 30][i], p, __ATOMIC_SEQ_CST);
		free(old);
		if (x >> 24 == 0)
			free(realloc(__atomic_exchange_n(
					     &mine[i], NULL, __ATOMIC_SEQ_CST),
				10 + (x & 5000)));
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	put(&root, make(MARKER), 0);
	if (said(argc, argv, "leak"))
		root = NULL;
	clobber();
	for (uintptr_t i = 0; i < N; i++)
		MUST(!pthread_create(&t, NULL, thread, (void *)i));
	while (!ready)
		;
	for (int i = 0; i < 5; i++) {
		usleep(2000);
		now();
	}
	return 0;
}
