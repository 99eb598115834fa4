/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCPACE_H
#define GOSTAT_GC_GCPACE_H

#include "base/attrs.h"

/*
 * gcpace: when the next cycle is due. Go's rule: when the heap has grown by
 * GOGC percent of what the last cycle found reachable, roots included. Callers
 * serialise (gc.lock), but for reading.
 */

/* debug.SetGCPercent: old value; negative: off. */
int gcpace_set_percent(int percent);
int gcpace_percent(void);

/* A cycle has ended; bytes that it found reachable, and of roots. */
void gcpace_marked(uint64_t live, uint64_t roots);

/*
 * GOMEMLIMIT's share: a cycle is due at this HeapAlloc at the latest, but not
 * below what the last one found reachable. UINT64_MAX: no limit.
 */
void gcpace_set_ceiling(uint64_t heap_alloc);

/* Is it that which sets the goal? */
bool gcpace_by_limit(void);

/* A cycle was due at this size, and had no result: next time, then. */
void gcpace_put_off(uint64_t heap_alloc);

/*
 * In the child of a fork, which has its parent's heap and goal: its allocator
 * is told anew when to ask.
 */
void gcpace_postfork_child(void);

/* HeapAlloc at which a cycle is due; UINT64_MAX: off. */
uint64_t gcpace_goal(void);

/*
 * Has HeapAlloc reached the goal? If not, the allocator is told when to ask
 * again (mheap.gc_pages).
 */
bool gcpace_reached(uint64_t heap_alloc);

#endif
