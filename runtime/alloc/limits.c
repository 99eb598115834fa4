/* SPDX-License-Identifier: MIT */
/*
 * limits: what the user wants to hear or prevent.
 *
 *	GOSTAT_MAXHEAP    hard: spans in use never exceed it, malloc fails
 *	GOMEMLIMIT        soft: what would exceed it first gives idle pages back
 *	GOSTAT_WARN_HEAP  a line each time HeapAlloc crosses it upwards
 *
 * The soft limit is compared with Sys - HeapReleased, as in Go, but without
 * stacks: they are the program's own and nothing here can shrink them.
 *
 * A warning is looked for in ticks, at most every WARN_MS milliseconds and only
 * while the pages in use exceed the size, so it costs nothing until then;
 * crossings that come and go between two looks are not seen.
 */
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "alloc/stats.h"
#include "base/fatal.h"
#include "os/sysmem.h"

enum { WARN_MS = 10 };

static struct limits {
	size_t max_heap; /* bytes; SIZE_MAX: none, also below */
	size_t memory;
	size_t warn;
	bool above;	   /* HeapAlloc was above warn at the last look */
	uint64_t looked_ms;
} limits = {SIZE_MAX, SIZE_MAX, SIZE_MAX, false, 0};

bool limits_refuse(size_t npages)
{
	size_t max = load_relaxed(&limits.max_heap) >> PAGE_SHIFT;

	return mheap.pages_inuse > max || npages > max - mheap.pages_inuse;
}

size_t limits_excess(size_t npages)
{
	uint64_t limit = load_relaxed(&limits.memory), ready;

	if (likely(limit == SIZE_MAX) || npages == 0)
		return 0;
	ready = mheap_mapped_ready();
	if (ready <= limit)
		return 0;
	return (size_t)((ready - limit) >> PAGE_SHIFT) + 1;
}

void limits_tick(uint64_t now_ms)
{
	size_t warn_at = load_relaxed(&limits.warn);
	struct heapstats h;
	bool above;

	if (likely(warn_at == SIZE_MAX) ||
		now_ms - load_relaxed(&limits.looked_ms) < WARN_MS)
		return;
	store_relaxed(&limits.looked_ms, now_ms);
	above = load_relaxed(&mheap.pages_inuse) << PAGE_SHIFT >= warn_at;
	if (above) {
		heapstats_read(&h);
		above = h.alloc >= warn_at;
	}
	if (xchg_relaxed(&limits.above, above) || !above)
		return;
	warn("HeapAlloc %lu is above GOSTAT_WARN_HEAP %zu", h.alloc, warn_at);
}

int64_t limits_set_memory(int64_t bytes)
{
	size_t old = load_relaxed(&limits.memory);

	if (bytes >= 0)
		store_relaxed(&limits.memory,
			bytes == INT64_MAX ? SIZE_MAX : (size_t)bytes);
	return old > INT64_MAX ? INT64_MAX : (int64_t)old;
}

size_t limits_set_max_heap(size_t bytes)
{
	size_t old = load_relaxed(&limits.max_heap);

	store_relaxed(&limits.max_heap, bytes ? bytes : SIZE_MAX);
	return old == SIZE_MAX ? 0 : old;
}

void limits_set_warn(size_t bytes)
{
	store_relaxed(&limits.warn, bytes ? bytes : SIZE_MAX);
}
