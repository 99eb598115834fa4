// SPDX-License-Identifier: MIT
/*
 * exchange OPS: two threads over one table of blocks, 8 bytes to 16 KiB.
 *
 * Each thread allocates a block, swaps it into a random slot of the shared
 * table and frees what was there, which half of the time is the other
 * thread's. Sizes are spread evenly over powers of two. No lock but the swap,
 * so the allocator's own meeting points are all that the threads contend for.
 */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 2, SLOTS = 4096 };

static _Atomic(size_t *) slot[SLOTS];
static size_t ops;

static size_t pick_size(uint64_t *rng)
{
	size_t bits = bench_between(rng, 3, 13);

	return bench_between(rng, (size_t)1 << bits, (size_t)2 << bits);
}

static void *work(void *arg)
{
	uint64_t *rng = arg;

	for (size_t i = 0; i < ops; i++) {
		size_t bytes = pick_size(rng);
		size_t k = bench_between(rng, 0, SLOTS - 1);
		size_t *p = bench_must(malloc(bytes));

		*p = k;
		/* acq_rel [slot]: hands *p over, takes the other's. */
		p = atomic_exchange_explicit(&slot[k], p, memory_order_acq_rel);
		if (p && *p != k)
			bench_fail("two blocks overlap");
		free(p);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t rng[THREADS] = { 73, 79 };
	pthread_t t[THREADS];

	ops = bench_number(argc > 1 ? argv[1] : NULL, "operations?");
	for (size_t i = 0; i < THREADS; i++) {
		if (pthread_create(&t[i], NULL, work, &rng[i]))
			bench_fail("no thread");
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (size_t k = 0; k < SLOTS; k++)
		free(slot[k]);
	bench_check(rng[0] ^ rng[1]);
	return 0;
}
