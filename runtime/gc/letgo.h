/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LETGO_H
#define GOSTAT_GC_LETGO_H

#include "gc/mark.h"

/*
 * letgo: memory that the copy need not hold. See letgo.c for the picture.
 */
struct letgo {
	uint64_t *block; /* a bit for each 2 MiB of the heap: given up */
	size_t nblocks, bytes;
};

/*
 * In the copy, before anything of the heap is read and after roots_collect():
 * give up all blocks of the heap in which no word could lead anywhere, as far
 * as o has words lead. Roots say which mappings are objects.
 *
 * Where there is no memory for the bits, or words may lie at odd addresses,
 * nothing is given up. Context: one thread, takes no lock.
 */
void letgo(struct letgo *g, const struct rootset *rs,
	const struct mark_options *o);
void letgo_free(struct letgo *g);

/* Has all of [lo, hi), a part of the heap, been given up? */
bool letgo_covers(const struct letgo *g, uintptr_t lo, uintptr_t hi);

#endif
