// SPDX-License-Identifier: MIT
/*
 * pairs SIZE (MS"ms" | OPS"x"): malloc and free at once, last in first out.
 *
 * The shortest path there is: the block that was just freed comes back. What
 * this shows is the length of the hit path, and for big sizes whether there
 * is one at all or each pair goes to a lock, a page search or the kernel. The
 * first byte is written, so that a block given back to the system costs its
 * page fault.
 */
#include "bench.h"

int main(int argc, char **argv)
{
	size_t size = bench_number(argc > 1 ? argv[1] : NULL, "which size?");
	uintptr_t bits = 0;
	struct bench_loop l;
	size_t n;

	bench_loop_init(&l, argc > 2 ? argv[2] : NULL);
	while ((n = bench_loop_next(&l)) != 0) {
		for (size_t i = 0; i < n; i++) {
			char *p = malloc(size);

			bits |= (uintptr_t)p;
			*p = (char)i;
			bench_use(p);
			free(p);
		}
	}
	if (bits % 16)
		bench_fail("a block is not aligned to 16 bytes");
	bench_loop_report(&l);
	return 0;
}
