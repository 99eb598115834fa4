/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_PAGEALLOC_H
#define GOSTAT_ALLOC_PAGEALLOC_H

#include "alloc/arena.h"

/*
 * pagealloc: which pages of the arenas are free. Everything here runs under
 * mheap.lock.
 */

/*
 * First fit: the lowest run of npages free pages whose first page is a
 * multiple of align pages. Returns its page number, or SIZE_MAX. *zero is set
 * when every page of it reads as zero; *nscav is the number of pages of it that
 * had no memory.
 */
size_t pagealloc_take(size_t npages, size_t align, bool *zero, size_t *nscav);

/* Exactly these pages, if all are free. For growing in place. */
bool pagealloc_take_at(size_t page, size_t npages, bool *zero, size_t *nscav);

void pagealloc_free(size_t page, size_t npages);

/* The pages are free and have no memory (they were moved away, say). */
void pagealloc_free_scavenged(size_t page, size_t npages);

/* New memory from arena_grow(): update the sums. */
void pagealloc_added(size_t page, size_t npages);

/*
 * Give memory of up to npages free pages back to the kernel, highest addresses
 * first, whole runs at a time. Returns the number of pages given back.
 */
size_t pagealloc_scavenge(size_t npages);

/* Walk the sums and bits; aborts on a mismatch. For tests. */
void pagealloc_check(void);

#endif
