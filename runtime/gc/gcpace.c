/* SPDX-License-Identifier: MIT */
/*
 * gcpace: see the header.
 *
 *	goal = live + (live + roots) * GOGC / 100, at least 4 MiB * GOGC / 100
 *
 * The allocator can't add up HeapAlloc all the time. It compares the pages in
 * use, which it knows, with mheap.gc_pages whenever a span is made; they are
 * more than HeapAlloc by free slots and magazines. So when they get there, the
 * exact figure is looked up, and if it is still below the goal, gc_pages moves
 * on by what is missing.
 */
#include "gc/gcpace.h"
#include "alloc/mheap.h"
#include "base/atomics.h"

enum { MIN_HEAP = 4 << 20 }; /* at GOGC=100; Go's heapminimum */

static struct gcpace {
	int percent;	      /* negative: off */
	uint64_t live, roots; /* of the last cycle */
	uint64_t goal;
} pace = {-1, 0, 0, UINT64_MAX};

static uint64_t share(uint64_t bytes, uint64_t percent)
{
	return (uint64_t)((unsigned __int128)bytes * percent / 100);
}

static void set_goal(void)
{
	uint64_t percent = (uint64_t)pace.percent, goal;

	if (pace.percent < 0) {
		store_relaxed(&pace.goal, UINT64_MAX);
		store_relaxed(&mheap.gc_pages, SIZE_MAX);
		return;
	}
	goal = pace.live + share(pace.live + pace.roots, percent);
	goal = MAX(goal, share(MIN_HEAP, percent));
	store_relaxed(&pace.goal, goal);
	store_relaxed(&mheap.gc_pages, (size_t)(goal >> PAGE_SHIFT));
}

int gcpace_set_percent(int percent)
{
	int old = pace.percent;

	store_relaxed(&pace.percent, MAX(percent, -1));
	set_goal();
	return old;
}

int gcpace_percent(void)
{
	return load_relaxed(&pace.percent);
}

void gcpace_marked(uint64_t live, uint64_t roots)
{
	pace.live = live;
	pace.roots = roots;
	set_goal();
}

void gcpace_put_off(uint64_t heap_alloc)
{
	pace.live = MAX(pace.live, heap_alloc);
	set_goal();
}

void gcpace_postfork_child(void)
{
	set_goal();
}

uint64_t gcpace_goal(void)
{
	return load_relaxed(&pace.goal);
}

bool gcpace_reached(uint64_t heap_alloc)
{
	uint64_t goal = gcpace_goal();
	size_t inuse = load_relaxed(&mheap.pages_inuse);

	if (goal == UINT64_MAX)
		return false;
	if (heap_alloc >= goal) {
		/* Until the cycle has set a new goal: ask no more. */
		store_relaxed(&mheap.gc_pages, SIZE_MAX);
		return true;
	}
	store_relaxed(&mheap.gc_pages,
		MAX((size_t)(goal >> PAGE_SHIFT),
			inuse + (size_t)((goal - heap_alloc) >> PAGE_SHIFT) +
				1));
	return false;
}
