/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCTABLES_H
#define GOSTAT_GC_GCTABLES_H

#include "base/attrs.h"

/*
 * The lock over what the program tells the collector: objects to ignore,
 * finalizers. A cycle takes it before it stops the world, so that a snapshot
 * finds the tables whole. Short; rank LOCK_GCTABLES.
 */
void gctables_lock(void);
bool gctables_trylock(int64_t ns); /* give up after so long */
void gctables_unlock(void);

/* In the child of fork, where the parent has held it over the fork. */
void gctables_postfork_child(void);

#endif
