/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_BRINK_H
#define GOSTAT_OBSERVE_BRINK_H

#include "alloc/limits.h"

/*
 * Dump on the brink (GOSTAT_OOM_DUMP): heap profile and MemStats are on disk
 * before memory is all. See brink.c.
 */

/* From now on; does nothing unless the option is set. At load. */
void brink_start(void);

/*
 * Tell fn each time how near the nearest limit is. Context: any thread, not in
 * a signal handler. fn's: an allocation, no lock held, any stack.
 */
void brink_tell(void (*fn)(const struct limits_state *s));

/*
 * An allocation of so many bytes is about to fail. Context: any thread, no lock
 * of the allocator held, any stack; leaves errno alone.
 */
void brink_refused(size_t size);

/* In the child of fork, whose first dump does not wait for its parent's. */
void brink_fork_child(void);

#endif
