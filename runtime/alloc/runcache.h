/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_RUNCACHE_H
#define GOSTAT_ALLOC_RUNCACHE_H

#include "alloc/mheap.h"

/*
 * runcache: freed large spans, kept whole for the next request of their page
 * count. Everything here runs under mheap.lock.
 */

/* Keep s (state MSPAN_LARGE, at most MAX_RUN pages)? False: free it. */
bool runcache_put(struct mspan *s);

/* A span of exactly npages, or NULL. Its pages are dirty. */
struct mspan *runcache_take(size_t npages);

/* The shortest span of at least npages and at most most pages, or NULL. */
struct mspan *runcache_pop(size_t npages, size_t most);

/* Pages in it. */
size_t runcache_pages(void);

#endif
