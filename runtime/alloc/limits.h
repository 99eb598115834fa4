/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_LIMITS_H
#define GOSTAT_ALLOC_LIMITS_H

#include "base/attrs.h"

/*
 * limits: what the user wants to hear or prevent (GOMEMLIMIT, GOSTAT_MAXHEAP,
 * GOSTAT_WARN_HEAP), and how near the limits are. See limits.c.
 */

/* From the options; GOMEMLIMIT=auto asks for the cgroup. At load. */
void limits_start(void);

/*
 * Idle pages that must go back to the kernel now, because npages more get
 * memory. Under mheap.lock.
 */
size_t limits_excess(size_t npages);

/* Would npages more in use exceed GOSTAT_MAXHEAP? Under mheap.lock. */
bool limits_refuse(size_t npages);

/* From ticks; no lock held. Warns when HeapAlloc crosses GOSTAT_WARN_HEAP. */
void limits_tick(uint64_t now_ms);

/* debug.SetMemoryLimit: old value; negative only reads; INT64_MAX: none. */
int64_t limits_set_memory(int64_t bytes);

/* Hard limit; 0: none. Old value. */
size_t limits_set_max_heap(size_t bytes);

/* Warn at this many bytes of HeapAlloc; 0: never. */
void limits_set_warn(size_t bytes);

/*
 * 90 % of the cgroup's limit as it is now, INT64_MAX without one. root as in
 * cgroup.h. At load.
 */
int64_t limits_auto(const char *root);

enum limit { LIMIT_MEMORY, LIMIT_MAXHEAP, LIMIT_CGROUP };

struct limits_state {
	enum limit kind;
	uint64_t limit; /* bytes */
	uint64_t used;	/* bytes that count against it */
};

/*
 * Have look() called when memory may have come nearer to a limit: from an
 * allocation that has grown the heap, on its thread, no lock held, any stack.
 * The cgroup is that of root (cgroup.h). Once, at load.
 */
void limits_watch(void (*look)(void), const char *root);

/*
 * The limit of which the largest part is used; false if there is none. What
 * was taken since the last call and is perhaps not touched yet counts as used.
 * Sets when to look again. Context: from look(), one caller at a time; opens
 * files for a moment.
 */
bool limits_nearest(struct limits_state *s);

/* mheap took npages, fresh of them without memory so far. Under mheap.lock. */
void limits_took(size_t npages, size_t fresh);

/* Is a look due? Set under mheap.lock; for limits_look(). */
extern HIDDEN bool limits_due;

/*
 * Have look() called, and warn, if that is due, or anyway. Context: no lock
 * held.
 */
void limits_look_now(bool anyway);

/* After an allocation by a slow path, no lock held. */
static ALWAYS_INLINE void limits_look(void)
{
	/* relaxed: whoever comes next will do as well. */
	if (unlikely(__atomic_load_n(&limits_due, __ATOMIC_RELAXED)))
		limits_look_now(false);
}

#endif
