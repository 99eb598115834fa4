/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_FRAMETAB_H
#define GOSTAT_GC_FRAMETAB_H

#include "gc/leakname.h"

/*
 * frametab: frames by number, for reports in which stacks share them. See
 * frametab.c. All zero is empty.
 */
struct frametab {
	struct leak_frame *of;
	uint32_t *slot; /* number + 1 by hash; 0: free */
	size_t n, cap;	/* slots are twice as many as cap */
};

enum { FRAMETAB_FULL = UINT32_MAX };

/*
 * The number of a frame that leak_describe() has filled in: the same for the
 * same place, from 0 up. FRAMETAB_FULL: no memory. Context: one thread.
 */
uint32_t frametab_number(struct frametab *t, const struct leak_frame *f);

void frametab_free(struct frametab *t);

#endif
