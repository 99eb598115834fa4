/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_SCAVENGE_H
#define GOSTAT_ALLOC_SCAVENGE_H

#include "base/attrs.h"

/*
 * scavenge: when free pages go back to the kernel. See scavenge.c.
 */

/* mheap took pages, nscav of them new to memory. Under mheap.lock. */
void scavenge_took(size_t nscav);

/* Pages became idle. Under mheap.lock. */
void scavenge_freed(void);

/*
 * A chance to work, given by misses of an mcache and by the helper thread.
 * True while more is waiting to be given back. Context: no lock held.
 */
bool scavenge_tick(void);

/* True if enough is idle that ticks should come soon. */
bool scavenge_waiting(void);

#endif
