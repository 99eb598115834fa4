/* SPDX-License-Identifier: MIT */
/*
 * gcpace: see the header.
 *
 *	goal = live + (live + roots) * GOGC / 100, at least 4 MiB * GOGC / 100
 *	       but at most what GOMEMLIMIT leaves for the heap
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
	uint64_t ceiling;
	uint64_t goal;
	bool by_limit; /* goal is the ceiling */
} pace = {-1, 0, 0, UINT64_MAX, UINT64_MAX, false};

static uint64_t share(uint64_t bytes, uint64_t percent)
{
	return (uint64_t)((unsigned __int128)bytes * percent / 100);
}

static uint64_t goal_by_percent(void)
{
	uint64_t percent = (uint64_t)pace.percent, goal;

	if (pace.percent < 0)
		return UINT64_MAX;
	goal = pace.live + share(pace.live + pace.roots, percent);
	return MAX(goal, share(MIN_HEAP, percent));
}

AT_START static void set_goal(void)
{
	uint64_t goal = goal_by_percent();
	uint64_t ceiling = MAX(pace.ceiling, pace.live);

	pace.by_limit = ceiling < goal;
	if (pace.by_limit)
		goal = ceiling;
	store_relaxed(&pace.goal, goal);
	store_relaxed(&mheap.gc_pages, goal == UINT64_MAX
			? SIZE_MAX
			: (size_t)(goal >> PAGE_SHIFT));
}

void gcpace_set_ceiling(uint64_t heap_alloc)
{
	if (heap_alloc == pace.ceiling)
		return;
	pace.ceiling = heap_alloc;
	set_goal();
}

bool gcpace_by_limit(void)
{
	return load_relaxed(&pace.by_limit);
}

AT_START int gcpace_set_percent(int percent)
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
