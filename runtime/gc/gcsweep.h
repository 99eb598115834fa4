/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCSWEEP_H
#define GOSTAT_GC_GCSWEEP_H

#include "gc/leaklist.h"

/*
 * gcsweep: free what a verified list calls garbage (GOSTAT_GC=reclaim). The
 * world runs. Objects and bytes that went are added to *objects and *bytes.
 */
void gcsweep(struct leaklist *l, uint64_t *objects, uint64_t *bytes);

#endif
