/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_WRITETRACK_H
#define GOSTAT_OS_WRITETRACK_H

#include "os/ownfd.h"

/*
 * writetrack: which pages has the program not written since?
 *
 *	writetrack_begin(&t);		WRITETRACK_OK: it can be told here
 *	writetrack_watch(&t, lo, hi);	from now on
 *	...				the program runs
 *	writetrack_each(&t, WRITETRACK_SAME, lo, hi, fn, arg);
 *	writetrack_end(&t);
 *
 * A page counts as the same only if the kernel vouches for it; whatever goes
 * wrong, it does not. errno untouched, no memory but the struct.
 */
struct writetrack {
	struct ownfd uffd, pagemap;
	uintptr_t lo, hi; /* around all that is watched */
};
#define WRITETRACK_NONE                                                        \
	{                                                                      \
		.uffd = OWNFD_NONE, .pagemap = OWNFD_NONE                      \
	}

enum writetrack_result {
	WRITETRACK_OK,
	WRITETRACK_REFUSED,    /* no userfaultfd for us */
	WRITETRACK_OLD,	       /* kernel: before Linux 6.7, or configured so */
	WRITETRACK_NO_PAGEMAP, /* in /proc */
	WRITETRACK_NO_MEMORY,
	WRITETRACK_FAILED, /* all there, but the answers are wrong */
	WRITETRACK_NRESULT
};

/*
 * Get ready, and try it out on a page of our own. Two descriptors are open
 * until the end; they appear in the program's table under high numbers, and
 * under low ones for a moment: call it with the world stopped.
 */
enum writetrack_result writetrack_begin(struct writetrack *t);

/*
 * Watch the pages that have memory in [lo, hi), private anonymous memory, page
 * aligned; what gets some later counts as written. False: refused, nothing
 * there is watched. Writes of other threads that were made before the return
 * are seen by later reads.
 */
bool writetrack_watch(struct writetrack *t, uintptr_t lo, uintptr_t hi);

/* The same for memory that is watched already, and whatever was written there.
 */
bool writetrack_again(const struct writetrack *t, uintptr_t lo, uintptr_t hi);

enum writetrack_which {
	WRITETRACK_SAME,   /* as it was when it was watched, or zero */
	WRITETRACK_MEMORY, /* in memory or swapped out */
};

/*
 * Call fn for all runs of such pages in [lo, hi), ascending. False: the kernel
 * does not tell (any more); there may have been calls before.
 */
bool writetrack_each(const struct writetrack *t, enum writetrack_which which,
	uintptr_t lo, uintptr_t hi,
	void (*fn)(void *arg, uintptr_t lo, uintptr_t hi), void *arg);

/* Watch no longer; give everything back. After a fork, in the child: only what
 * is the child's (forked). */
void writetrack_end(struct writetrack *t, bool forked);

/*
 * Copy memory that may go away at any moment. Returns how many bytes there
 * were: less than n when a page in between can't be read.
 */
size_t writetrack_read(void *to, uintptr_t from, size_t n);

/* For tests: writetrack_begin() says so. */
extern enum writetrack_result writetrack_refuse;

#endif
