/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_PEAK_H
#define GOSTAT_ALLOC_PEAK_H

#include "base/attrs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is kept for speed gives way before the heap gets larger than it ever
 * was. See peak.c. All under mheap.lock.
 */
struct peak {
	size_t pages;	/* most with memory so far; falls slowly */
	uint32_t count; /* changes when caches of freed objects should empty */
};

extern HIDDEN struct peak peak;

/*
 * Pages were taken. True: the heap is larger than ever, and there is time to do
 * something about it. Then peak_excess() says how many idle pages should go
 * back, and peak_settle() is told how many went.
 */
bool peak_reached(void);
size_t peak_excess(void);
void peak_settle(size_t npages);

/* Once a scavenge window: an old peak is not one for ever. */
void peak_forget(void);

#endif
