// SPDX-License-Identifier: MIT
/*
 * callocs ROUNDS: zeroed blocks of mixed sizes.
 *
 * Random replacement in 2048 slots with calloc: sizes spread evenly over
 * powers of two from 16 bytes to 64 KiB, small ones eight times as often.
 * Each block is tested for zero at a few places and dirtied whole, so that a
 * recycled block really has to be cleared and a fresh one need not be.
 */
#include "bench.h"

enum { SLOTS = 2048, PER_ROUND = 1 << 16 };

static size_t pick_size(uint64_t *rng)
{
	size_t bits = bench_between(rng, 0, 7) ? bench_between(rng, 4, 9)
					       : bench_between(rng, 10, 15);

	return bench_between(rng, (size_t)1 << bits, (size_t)2 << bits);
}

static unsigned char *take(size_t size)
{
	unsigned char *p = bench_must(calloc(size / 16, 16));

	for (size_t i = 0; i < size / 16 * 16; i += 61) {
		if (p[i])
			bench_fail("calloc gave memory that is not zero");
	}
	memset(p, 0xa5, size / 16 * 16);
	return p;
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	static unsigned char *slot[SLOTS];
	uint64_t rng = 53;

	for (size_t i = 0; i < rounds * PER_ROUND; i++) {
		size_t k = bench_between(&rng, 0, SLOTS - 1);

		free(slot[k]);
		slot[k] = take(pick_size(&rng));
	}
	for (size_t k = 0; k < SLOTS; k++)
		free(slot[k]);
	bench_check(rng);
	return 0;
}
