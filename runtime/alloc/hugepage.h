/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_HUGEPAGE_H
#define GOSTAT_ALLOC_HUGEPAGE_H

#include "alloc/arena.h"
#include "os/sysmem.h"

/*
 * hugepage: which 2 MiB blocks of the heap ask for huge pages. Everything here
 * runs under mheap.lock.
 */

enum { BLOCK_PAGES = HUGE_PAGE >> PAGE_SHIFT };

/* A span that fills up densely begins to use these pages. */
void hugepage_want(size_t page, size_t npages);

/* Has the block of this page asked, and not been broken since? */
bool hugepage_asked(size_t page);

/* Memory of these free pages was given back. */
void hugepage_broken(size_t page, size_t npages);

#endif
