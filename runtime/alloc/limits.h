/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_LIMITS_H
#define GOSTAT_ALLOC_LIMITS_H

#include "base/attrs.h"

/*
 * limits: what the user wants to hear or prevent (GOMEMLIMIT, GOSTAT_MAXHEAP,
 * GOSTAT_WARN_HEAP). See limits.c.
 */

/*
 * Idle pages that must go back to the kernel now, because npages more get
 * memory. Under mheap.lock.
 */
size_t limits_excess(size_t npages);

/* Would npages more in use exceed GOSTAT_MAXHEAP? Under mheap.lock. */
bool limits_refuse(size_t npages);

/* From ticks; no lock held. Warns when HeapAlloc crosses GOSTAT_WARN_HEAP. */
void limits_tick(uint64_t now_ms);

/* debug.SetMemoryLimit: old value; negative only reads; INT64_MAX: none. */
int64_t limits_set_memory(int64_t bytes);

/* Hard limit; 0: none. Old value. */
size_t limits_set_max_heap(size_t bytes);

/* Warn at this many bytes of HeapAlloc; 0: never. */
void limits_set_warn(size_t bytes);

#endif
