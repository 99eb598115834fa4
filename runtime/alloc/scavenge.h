/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_SCAVENGE_H
#define GOSTAT_ALLOC_SCAVENGE_H

#include "base/attrs.h"

/*
 * scavenge: when free pages go back to the kernel. See scavenge.c.
 */

/* mheap took pages. Under mheap.lock. */
void scavenge_took(void);

/* Pages became idle. Under mheap.lock. */
void scavenge_freed(void);

/*
 * So many of the idle pages have become so just now, but nobody has wanted them
 * for a window: they go back with the others. Context: no lock held.
 */
void scavenge_unneeded(size_t npages);

/*
 * A chance to work, given by misses of an mcache and by the helper thread.
 * True while more is waiting to be given back. Context: no lock held.
 */
bool scavenge_tick(void);

/*
 * Somebody asks for all idle memory to go back now. Returns the pages that went.
 * Context: no lock held.
 */
size_t scavenge_forced(void);

/*
 * If enough is idle that ticks should come soon: a number that identifies the
 * current window, so that each thread hurries once in it. Else 0.
 */
uint64_t scavenge_waiting(void);

/* Milliseconds on the coarse monotonic clock: no system call. */
uint64_t scavenge_now_ms(void);

#endif
