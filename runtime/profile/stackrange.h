/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_STACKRANGE_H
#define GOSTAT_PROFILE_STACKRANGE_H

#include "base/attrs.h"

/*
 * Which memory an unwinder may read. One for each thread, zero at first; the
 * owner alone uses it.
 */
struct stackrange {
	uintptr_t lo, hi; /* the range in use: whole pages, all readable */
	struct {
		uintptr_t lo, hi;
	} old[3]; /* other stacks of the thread, latest first */
	uint32_t epoch;
	/*
	 * Where copies are read instead of the stack itself: their word of an
	 * address is at address + shift, and there is nothing else to read.
	 */
	const struct stackpiece *piece;
	size_t npieces;
	uintptr_t shift; /* of the range in use; else 0 */
};

/* A copy of [lo, hi), which need not be there any more. */
struct stackpiece {
	uintptr_t lo, hi;
	const char *copy;
};

/*
 * Make [lo, hi) a range that holds the 8 bytes at addr, asking the kernel
 * about the page if need be (one system call, 0.16 us, once a page). False if
 * they can't be read, or nobody may be asked: nothing has changed then.
 *
 * Context: anywhere, signal handlers of the owner included.
 */
bool stackrange_find(struct stackrange *s, uintptr_t addr);

/* True if the 8 bytes at addr can be read now. Asks the kernel every time. */
bool stackrange_readable(uintptr_t addr);

/*
 * [lo, hi) was unmapped, moved or protected by the program. If stacks have
 * been seen thereabouts, every thread forgets its ranges and asks again, page
 * by page; else this costs a few loads. Context: anywhere.
 */
void stackrange_unmapped(uintptr_t lo, uintptr_t hi);

/* Changes whenever ranges are forgotten. */
extern HIDDEN uint32_t stackrange_epoch;

#endif
