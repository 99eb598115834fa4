/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_UNFORKED_H
#define GOSTAT_GC_UNFORKED_H

#include "base/attrs.h"

/*
 * unforked: memory that the program keeps out of copies of its process. See
 * unforked.c. Addresses are multiples of OS_PAGE. Lock-free, any context.
 */

/*
 * madvise(MADV_DONTFORK or MADV_WIPEONFORK) has been called. empty: for memory
 * that is only reserved so far, and with MADV_DONTFORK.
 */
void unforked_add(uintptr_t lo, uintptr_t hi, bool empty);

/* It may be copied again, or is about to be unmapped. */
void unforked_remove(uintptr_t lo, uintptr_t hi);

/* May any be in the list? */
extern HIDDEN uint32_t unforked_n;

/* Bytes that did not go into the list: what only they hold looks leaked. */
extern HIDDEN uint64_t unforked_unknown;

/*
 * The i-th range, i < unforked_n; false: none there, or one that will be in the
 * copy.
 */
bool unforked_lost(uint32_t i, uintptr_t *lo, uintptr_t *hi);

/* Does the list have any of [lo, hi)? */
bool unforked_overlaps(uintptr_t lo, uintptr_t hi);

/* Around the copy, with the world stopped. */
void unforked_admit(void);
void unforked_expel(void);

/* In the child of fork, which has none of it. */
void unforked_postfork_child(void);

#endif
