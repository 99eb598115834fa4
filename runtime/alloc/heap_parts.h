/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_HEAP_PARTS_H
#define GOSTAT_ALLOC_HEAP_PARTS_H

#include "alloc/heap.h"
#include "alloc/mspan.h"

/* What heap.c and heap_realloc.c share. */

/* No memory: last chance for the program's user to learn why. NULL. */
void *heap_refuse(size_t size);

/*
 * Record of the object at p, which lies in s, to free or realloc (what says
 * which); 0: above MAX_RUN. Aborts where no object begins. Needs no lock.
 */
unsigned heap_checked_rec(const char *what, const struct mspan *s, uintptr_t p);

/* The size that was asked for, where that of the object at p is recorded. */
void heap_note_size(void *p, size_t size);

/* Last words: p lies in the heap, and nothing is there. */
NORETURN void heap_no_object(const char *what, void *p);

/*
 * malloc(more) for a request of size bytes: more for its alignment, or as
 * headroom.
 */
void *heap_malloc_more(size_t more, size_t size);

#endif
