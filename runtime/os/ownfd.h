/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_OWNFD_H
#define GOSTAT_OS_OWNFD_H

#include "base/attrs.h"

/*
 * Descriptors of ours in a table that belongs to the program. Async-signal-
 * safe; errno untouched.
 */
struct ownfd {
	int fd; /* -1: none */
	uint64_t dev, ino; /* what it was when we got it */
};

#define OWNFD_NONE {.fd = -1}

/*
 * Take over a descriptor fresh from the kernel: it moves to a high number, is
 * closed on exec, and is remembered by what it refers to. A negative fd (an
 * error) gives OWNFD_NONE.
 */
struct ownfd ownfd_adopt(long fd);

/*
 * What a descriptor that stays the program's refers to, for ownfd_valid()
 * only. OWNFD_NONE if it is not open.
 */
struct ownfd ownfd_identify(int fd);

/*
 * Does the number still stand for what it did? A program may close every
 * descriptor it finds, and then get the same number for a file of its own.
 * Ask before each use; between the answer and the use, trust.
 */
bool ownfd_valid(const struct ownfd *o);

/* Close it if it is still ours, and forget it. */
void ownfd_close(struct ownfd *o);

#endif
