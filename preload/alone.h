/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_ALONE_H
#define GOSTAT_PRELOAD_ALONE_H

#include "base/attrs.h"

/*
 * Our helper thread leaves the process, and comes back if it has left, as a
 * new thread that is like the caller. Context: not in signal handlers.
 */
bool alone_begin(void);
void alone_end(bool left);

/* prctl() with an option that changes the calling thread only. */
HIDDEN int alone_prctl(int option, long a, long b, long c, long d);

/* In no header; header and data as the kernel wants them. */
typedef int capset_fn(void *header, const void *data);
capset_fn capset;

/* Find what is wrapped (preload/alone.c). */
void alone_init(void);

#endif
