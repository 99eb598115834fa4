// SPDX-License-Identifier: MIT
/*
 * large (touch | fill) OPS: blocks of 5 to 25 MiB.
 *
 * Random replacement in 12 slots. "touch" writes one byte in each page of the
 * first mebibyte, as code that allocates generously and uses little; "fill"
 * writes everything. What differs is who keeps the pages between one block and
 * the next, and what that costs in memory.
 */
#include "bench.h"

enum { SLOTS = 12, MIB = 1 << 20, PAGE = 4096 };

int main(int argc, char **argv)
{
	bool fill = argc > 1 && !strcmp(argv[1], "fill");
	size_t ops = bench_number(argc > 2 ? argv[2] : NULL, "operations?");
	static unsigned char *slot[SLOTS];
	uint64_t rng = 61;

	for (size_t i = 0; i < ops; i++) {
		size_t k = bench_between(&rng, 0, SLOTS - 1);
		size_t size = bench_between(&rng, 5 * MIB, 25 * MIB);
		unsigned char *p;

		if (slot[k] && (slot[k][0] != k || slot[k][MIB - PAGE] != k))
			bench_fail("two blocks overlap");
		free(slot[k]);
		slot[k] = p = bench_must(malloc(size));
		if (fill)
			memset(p, (int)k, size);
		for (size_t at = 0; at < MIB; at += PAGE)
			p[at] = (unsigned char)k;
	}
	for (size_t k = 0; k < SLOTS; k++)
		free(slot[k]);
	bench_check(rng);
	return 0;
}
