// SPDX-License-Identifier: MIT
/*
 * aligned ROUNDS: blocks aligned to 32 bytes up to a page.
 *
 * Random replacement in 4096 slots through aligned_alloc and posix_memalign
 * in turn, sizes of three to nine times the alignment, as vector code, I/O
 * buffers and C++17 operator new ask for. Odd multiples only: for sizes that
 * are powers of two the mimalloc that Debian 12 ships (2.0.9) breaks its
 * promise, and a peer that fails can't be compared.
 */
#include "bench.h"

enum { SLOTS = 4096, PER_ROUND = 1 << 16 };

static void *take(size_t i, size_t align, size_t size)
{
	void *p = NULL;

	if (i % 2)
		p = aligned_alloc(align, size);
	else if (posix_memalign(&p, align, size - 8))
		p = NULL;
	if ((uintptr_t)bench_must(p) % align)
		bench_fail("a block is not aligned as asked");
	return p;
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	static size_t *slot[SLOTS];
	uint64_t rng = 59;

	for (size_t i = 0; i < rounds * PER_ROUND; i++) {
		size_t k = bench_between(&rng, 0, SLOTS - 1);
		/* Half are 32 or 64, one in twenty is a page. */
		size_t r = bench_between(&rng, 0, 19);
		size_t align = r < 6	? 32
			       : r < 12 ? 64
			       : r < 19 ? (size_t)128 << (r - 12) % 4
					: 4096;
		size_t times = 2 * bench_between(&rng, 1, 4) + 1;

		if (slot[k] && *slot[k] != k)
			bench_fail("two blocks overlap");
		free(slot[k]);
		slot[k] = take(i, align, align * times);
		*slot[k] = k;
	}
	for (size_t k = 0; k < SLOTS; k++)
		free(slot[k]);
	bench_check(rng);
	return 0;
}
