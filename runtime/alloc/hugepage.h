/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_HUGEPAGE_H
#define GOSTAT_ALLOC_HUGEPAGE_H

#include "alloc/arena.h"
#include "os/sysmem.h"

/*
 * hugepage: which 2 MiB blocks of the heap ask for huge pages. What does
 * not say otherwise runs under mheap.lock.
 */

enum { BLOCK_PAGES = HUGE_PAGE >> PAGE_SHIFT };

/* A span that fills up densely begins to use these pages. */
void hugepage_want(size_t page, size_t npages);

/* Has the block of this page asked, and not been broken since? */
bool hugepage_asked(size_t page);

/*
 * Put up to most blocks back together that are whole in memory, but in small
 * pages: the first of the heap, and those that a copy of the process has split.
 * Up to a millisecond of CPU a block. Not under mheap.lock, not in a signal
 * handler; opens a file.
 */
void hugepage_mend(unsigned most);

/* Memory of these free pages was given back. */
void hugepage_broken(size_t page, size_t npages);

#endif
