/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LEAKSCOPE_H
#define GOSTAT_GC_LEAKSCOPE_H

#include "base/attrs.h"

/*
 * leakscope: what the program says is no leak.
 */

/*
 * From now on this object, and all that it leads to, is taken for live, until
 * it is freed. p may point anywhere into it; other addresses are left alone.
 * Context: any thread.
 */
void leak_ignore_object(const void *p);

/*
 * The same for every object that this thread allocates between the two calls.
 * They nest; enabling more often than disabling changes nothing.
 */
void leak_disable(void);
void leak_enable(void);

/*
 * The objects that were ignored by address, at most max; how many. For
 * leak_ignore(): the world is stopped, or gctables_lock() is held.
 */
size_t leak_ignored(uintptr_t *p, size_t max);
size_t leak_ignored_count(void);

/* Forget addresses where nothing is allocated any more. */
void leak_forget_freed(void);

#endif
