/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_RANDOM_H
#define GOSTAT_TESTS_RANDOM_H

/*
 * Random numbers that can be had again: each program prints its seed, and
 * TEST_SEED=<number> in the environment sets it. TEST_SCALE=<n> multiplies the
 * number of operations for a long run.
 */

#include "base/attrs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t test_seed;

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 .. n - 1. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)rng_next(r) * n >> 64);
}

/* About equally often in each power of two up to max; at least 1. */
static inline uint64_t rng_log(struct rng *r, uint64_t max)
{
	unsigned bits = 64 - (unsigned)__builtin_clzl(max);
	uint64_t n = rng_next(r) >> (64 - 1 - rng_below(r, bits));

	return MIN(MAX(n, 1), max);
}

/* A stream of its own for each user. */
static inline struct rng rng_init(uint64_t stream)
{
	struct rng r = {test_seed + stream * 0xd1342543de82ef95};

	rng_next(&r);
	return r;
}

/* In main, before any test forks. */
static inline void seed_init(void)
{
	const char *text = getenv("TEST_SEED");

	if (text)
		test_seed = strtoull(text, NULL, 0);
	else if (getrandom(&test_seed, sizeof(test_seed), 0) < 0)
		test_seed = 1;
	printf("TEST_SEED=%#llx\n", (unsigned long long)test_seed);
	fflush(stdout);
}

/* Operations to do, where n is enough for a short run. */
static inline size_t scaled(size_t n)
{
	const char *text = getenv("TEST_SCALE");

#ifdef __SANITIZE_THREAD__
	n = MAX(n / 4, (size_t)1); /* it takes ten times as long */
#endif
	return text ? n * strtoull(text, NULL, 0) : n;
}

#endif
