// SPDX-License-Identifier: MIT
/*
 * replace SLOTS LO HI (MS"ms" | OPS"x"): a long-lived heap under churn.
 *
 * Each operation picks a random slot, frees what is there and puts a block of
 * a random size in [LO, HI] in its place. Frees hit blocks that have gone cold
 * and whose neighbours live on: this shows the cost of finding a block's
 * metadata, of reuse order, and of pages that empty and fill again.
 */
#include "bench.h"

int main(int argc, char **argv)
{
	uint64_t rng = 88172645463325252ull;
	size_t bad = 0;
	size_t slots, lo, hi, n;
	struct bench_loop l;
	char **slot;

	if (argc != 5)
		bench_fail("usage: replace SLOTS LO HI AMOUNT");
	slots = bench_number(argv[1], "how many slots?");
	lo = bench_number(argv[2], "smallest size?");
	hi = bench_number(argv[3], "largest size?");
	slot = bench_must(calloc(slots, sizeof(*slot)));
	for (size_t i = 0; i < slots; i++) {
		slot[i] = bench_must(malloc(bench_between(&rng, lo, hi)));
		*slot[i] = (char)i;
	}
	bench_loop_init(&l, argv[4]);
	while ((n = bench_loop_next(&l)) != 0) {
		for (size_t i = 0; i < n; i++) {
			size_t k = bench_between(&rng, 0, slots - 1);

			bad += *slot[k] != (char)k;
			free(slot[k]);
			slot[k] = malloc(bench_between(&rng, lo, hi));
			*slot[k] = (char)k;
		}
	}
	for (size_t i = 0; i < slots; i++)
		free(slot[i]);
	free(slot);
	if (bad)
		bench_fail("two blocks overlap");
	bench_loop_report(&l);
	return 0;
}
