// SPDX-License-Identifier: MIT
/*
 * batch SIZE (MS"ms" | OPS"x"): 128 mallocs, then 128 frees in the same order.
 *
 * The working set is larger than what most thread caches hold of one size, so
 * this shows what moving blocks between the cache and its source costs. One
 * operation is one malloc and its free.
 */
#include "bench.h"

enum { BATCH = 128 };

static char *block[BATCH];

static void fill(size_t size)
{
	for (size_t i = 0; i < BATCH; i++) {
		block[i] = malloc(size);
		*block[i] = (char)i;
	}
}

/* Free all; how many had lost their first byte. */
static size_t drain(void)
{
	size_t bad = 0;

	for (size_t i = 0; i < BATCH; i++) {
		bad += *block[i] != (char)i;
		free(block[i]);
	}
	return bad;
}

int main(int argc, char **argv)
{
	size_t size = bench_number(argc > 1 ? argv[1] : NULL, "which size?");
	size_t bad = 0;
	struct bench_loop l;
	size_t n;

	bench_loop_init(&l, argc > 2 ? argv[2] : NULL);
	while ((n = bench_loop_next(&l)) != 0) {
		for (size_t i = 0; i < n; i += BATCH) {
			fill(size);
			bad += drain();
		}
	}
	if (bad)
		bench_fail("two blocks overlap");
	bench_loop_report(&l);
	return 0;
}
