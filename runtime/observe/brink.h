/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_BRINK_H
#define GOSTAT_OBSERVE_BRINK_H

#include "base/attrs.h"

/*
 * Dump on the brink (GOSTAT_OOM_DUMP): heap profile and MemStats are on disk
 * before memory is all. See brink.c.
 */

/* From now on; does nothing unless the option is set. At load. */
void brink_start(void);

/*
 * An allocation of so many bytes is about to fail. Context: any thread, no lock
 * of the allocator held, any stack; leaves errno alone.
 */
void brink_refused(size_t size);

/* In the child of fork, whose first dump does not wait for its parent's. */
void brink_fork_child(void);

#endif
