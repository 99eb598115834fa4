// SPDX-License-Identifier: MIT
/*
 * threads COUNT: threads that start, allocate a little and end.
 *
 * Four threads live at a time; each allocates 32 blocks of 16 bytes to 4 KiB,
 * frees all but one and returns that one to be freed by the main thread. What
 * counts is how cheap a thread's cache is to set up and to take down.
 */
#include "bench.h"

#include <pthread.h>

enum { ALIVE = 4, BLOCKS = 32 };

static void *work(void *arg)
{
	uint64_t rng = (uintptr_t)arg + 1;
	uint64_t *block[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		size_t bits = bench_between(&rng, 4, 11);

		block[i] = bench_must(malloc((size_t)2 << bits));
		*block[i] = i;
	}
	for (size_t i = 1; i < BLOCKS; i++) {
		if (*block[i] != i)
			bench_fail("two blocks overlap");
		free(block[i]);
	}
	*block[0] = rng;
	return block[0];
}

int main(int argc, char **argv)
{
	size_t count = bench_number(argc > 1 ? argv[1] : NULL, "threads?");
	pthread_t t[ALIVE];
	uint64_t h = 0;

	for (size_t i = 0; i < count + ALIVE; i++) {
		if (i >= ALIVE) {
			void *last;

			pthread_join(t[i % ALIVE], &last);
			h = bench_mix(h, *(uint64_t *)last);
			free(last);
		}
		if (i < count &&
			pthread_create(&t[i % ALIVE], NULL, work, (void *)i))
			bench_fail("no thread");
	}
	bench_check(h);
	return 0;
}
