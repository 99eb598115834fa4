/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_BENCH_H
#define GOSTAT_TESTS_BENCH_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * What the benchmark programs share: seeded random numbers, CPU clock, how
 * much to do, and the lines on stdout that the harness reads:
 *
 *	ns_per_op 3.21		CPU nanoseconds per operation (micro loops)
 *	check 1f00		must be the same under every allocator
 *
 * Each program exits 1 with a line on stderr when its own data is damaged.
 */

/* Print why on stderr and exit 1. */
static inline _Noreturn void bench_fail(const char *why)
{
	fprintf(stderr, "bench: %s\n", why);
	exit(1);
}

/* p, which must not be NULL. */
static inline void *bench_must(void *p)
{
	if (!p)
		bench_fail("out of memory");
	return p;
}

/* The compiler may assume nothing about *p before and after this point. */
static inline void bench_use(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

/* Next number of a xorshift64* sequence; *state must not be 0. */
static inline uint64_t bench_rand(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* Uniform in [lo, hi], by multiplication: no division in the loop. */
static inline size_t bench_between(uint64_t *state, size_t lo, size_t hi)
{
	uint64_t r = bench_rand(state) >> 32;

	return lo + (size_t)((r * (hi - lo + 1)) >> 32);
}

/* One step of a checksum. */
static inline uint64_t bench_mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15ull;
}

/* CPU time of the process so far, ns. */
static inline uint64_t bench_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A positive number; what is named in the complaint otherwise. */
static inline size_t bench_number(const char *s, const char *what)
{
	char *end;
	unsigned long n = s ? strtoul(s, &end, 10) : 0;

	if (!n || *end)
		bench_fail(what);
	return n;
}

static inline void bench_check(uint64_t h)
{
	printf("check %" PRIx64 "\n", h);
}

/*
 * A loop of "200ms" of CPU time or of exactly "5000x" operations. Chunks
 * double until one takes a millisecond, so that the clock costs nothing; what
 * ran before is warm-up and not counted.
 *
 *	struct bench_loop l;
 *	size_t n;
 *
 *	bench_loop_init(&l, argv[2]);
 *	while ((n = bench_loop_next(&l)) != 0)
 *		... n operations ...
 *	bench_loop_report(&l);
 */
struct bench_loop {
	bool counted;	  /* "5000x" */
	uint64_t limit;	  /* ns, or operations */
	uint64_t chunk;	  /* operations handed out last */
	uint64_t started; /* CPU clock when they were */
	uint64_t ops;	  /* done and counted */
	uint64_t ns;	  /* that they took */
};

enum { BENCH_CHUNK_NS = 1000000, BENCH_FIRST_CHUNK = 512 };

static inline void bench_loop_init(struct bench_loop *l, const char *arg)
{
	char *end;

	memset(l, 0, sizeof(*l));
	l->limit = arg ? strtoul(arg, &end, 10) : 0;
	if (!l->limit)
		bench_fail("how much? 200ms or 5000x");
	if (!strcmp(end, "ms"))
		l->limit *= 1000000;
	else if (!strcmp(end, "x"))
		l->counted = true;
	else
		bench_fail("how much? 200ms or 5000x");
}

static inline size_t bench_loop_next(struct bench_loop *l)
{
	uint64_t now = bench_cpu_ns();
	uint64_t took = now - l->started;
	bool warm = l->chunk && (l->counted || took >= BENCH_CHUNK_NS);

	if (l->ops || warm) {
		l->ops += l->chunk;
		l->ns += took;
	} else if (l->counted) {
		l->chunk = l->limit;
	} else {
		l->chunk = l->chunk ? 2 * l->chunk : BENCH_FIRST_CHUNK;
	}
	if (l->counted ? l->ops : l->ns >= l->limit)
		return 0;
	l->started = bench_cpu_ns();
	return l->chunk;
}

static inline void bench_loop_report(const struct bench_loop *l)
{
	printf("ns_per_op %.3f\n", (double)l->ns / (double)l->ops);
}

#endif
