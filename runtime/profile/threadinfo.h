/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_THREADINFO_H
#define GOSTAT_PROFILE_THREADINFO_H

#include "base/attrs.h"

/*
 * Where threads were created, and by whom.
 *
 * To be called by what stands for pthread_create, in the thread that has
 * created another one, when libc has said which: its pthread_t. Frames of this
 * library at the inner end of the stack are left out. Context: not in a signal
 * handler; takes no lock.
 */
void threadinfo_created(uintptr_t thread);

/*
 * The stack (stacktab.h) that created the thread with this descriptor, which is
 * its pthread_t, and the kernel's id of the thread that did it. False if
 * that is not known (any more).
 */
bool threadinfo_origin(uintptr_t thread, uint32_t *stack, int *creator);

/* How many threads one stack has created since the process began. */
struct threadinfo_site {
	uint32_t stack; /* 0: all those for whom there was no room */
	uint64_t count;
};

/* The next one; *at is 0 at first. False after the last. */
bool threadinfo_next(size_t *at, struct threadinfo_site *site);

/* In the child of fork: nobody has created anything yet. */
void threadinfo_postfork_child(void);

#endif
