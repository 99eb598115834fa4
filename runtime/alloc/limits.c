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
 * A crossing is looked for where pages are taken that bring those in use to the
 * size, and in ticks, so it costs nothing until then. Lines come at least
 * WARN_MS milliseconds after one another; crossings in between, and those by
 * objects in pages that were in use already and that are free again before the
 * next tick, are not seen.
 *
 * How near is the nearest? Whoever wants to know (limits_watch) is called when
 * an allocation has grown the heap by step bytes since the last look, or when
 * pages in use have come near to GOSTAT_MAXHEAP:
 *
 *	took() --fresh, in use--> limits_due --end of the slow path--> look()
 *	                              ^                                  |
 *	                              step, inuse_at <-- limits_nearest()
 *
 * The step is an eighth of what is left, so there are many looks near the
 * limit and few far away; between STEP_MIN and STEP_MAX, since others in the
 * cgroup grow too, and a look there opens some files (20 to 40 us).
 *
 * What counts against each, and can still go away by itself, is left out: idle
 * pages (GOMEMLIMIT), files in the page cache (cgroup). Pages just taken have
 * not been touched, so the kernel does not count them yet; it will, and then
 * nobody asks us before it kills. They count at once, except where they are
 * more than the whole limit: such a request is not meant to be touched.
 */
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "alloc/scavenge.h"
#include "alloc/stats.h"
#include "base/fatal.h"
#include "base/options.h"
#include "os/cgroup.h"
#include "os/sysmem.h"

enum {
	WARN_MS = 10,
	STEP_MIN = 1 << 20,
	STEP_MAX = 16 << 20,
};

static struct limits {
	size_t max_heap; /* bytes; SIZE_MAX: none, also below */
	size_t memory;
	size_t warn;
	bool above;	   /* HeapAlloc was above warn at the last look */
	uint64_t looked_ms, warned_ms;

	/* Looking: NULL if nobody wants to. */
	void (*look)(void);
	size_t fresh;	 /* bytes taken since the last look */
	size_t step;	 /* look when fresh gets there */
	size_t inuse_at; /* pages; or when mheap.pages_inuse gets there */
} limits = {
	.max_heap = SIZE_MAX,
	.memory = SIZE_MAX,
	.warn = SIZE_MAX,
	.step = STEP_MIN,
	.inuse_at = SIZE_MAX,
};
static struct cgroup cgroup;

bool limits_due;

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

static void warn_look(uint64_t now_ms)
{
	size_t warn_at = load_relaxed(&limits.warn);
	struct heapstats h;
	bool above = load_relaxed(&mheap.pages_inuse) << PAGE_SHIFT >= warn_at;

	if (above) {
		heapstats_read(&h);
		above = h.alloc >= warn_at;
	}
	if (xchg_relaxed(&limits.above, above) || !above)
		return;
	if (now_ms - load_relaxed(&limits.warned_ms) < WARN_MS) {
		store_relaxed(&limits.above, false); /* in a moment */
		return;
	}
	store_relaxed(&limits.warned_ms, now_ms);
	warn("HeapAlloc %lu is above GOSTAT_WARN_HEAP %zu", h.alloc, warn_at);
}

void limits_tick(uint64_t now_ms)
{
	if (likely(load_relaxed(&limits.warn) == SIZE_MAX) ||
		now_ms - load_relaxed(&limits.looked_ms) < WARN_MS)
		return;
	store_relaxed(&limits.looked_ms, now_ms);
	warn_look(now_ms);
}

/* Pages were taken: may HeapAlloc have come to the size by that? */
static bool may_cross(size_t npages)
{
	size_t warn_at = load_relaxed(&limits.warn);
	size_t inuse = mheap.pages_inuse << PAGE_SHIFT;

	if (inuse < warn_at)
		return false;
	if (inuse - (npages << PAGE_SHIFT) < warn_at)
		store_relaxed(&limits.above, false); /* it was not before */
	return !load_relaxed(&limits.above);
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

int64_t limits_auto(const char *root)
{
	uint64_t limit = UINT64_MAX;

	if (cgroup_find(&cgroup, root))
		limit = cgroup_limit(&cgroup);
	if (limit == UINT64_MAX)
		return INT64_MAX;
	return (int64_t)(limit / 10 * 9 + limit % 10 * 9 / 10);
}

void limits_start(void)
{
	int64_t memory = options->memlimit;

	if (options->maxheap)
		limits_set_max_heap(options->maxheap);
	limits_set_warn(options->warn_heap);
	if (memory == MEMLIMIT_AUTO)
		memory = limits_auto("");
	if (memory >= 0)
		limits_set_memory(memory);
}

void limits_watch(void (*look)(void), const char *root)
{
	cgroup_find(&cgroup, root);
	store_relaxed(&limits.look, look);
	store_relaxed(&limits_due, true); /* it may be near already */
}

void limits_took(size_t npages, size_t fresh)
{
	if (unlikely(may_cross(npages)))
		store_relaxed(&limits_due, true);
	if (likely(!load_relaxed(&limits.look)))
		return;
	own_add(&limits.fresh, fresh << PAGE_SHIFT);
	if (limits.fresh >= load_relaxed(&limits.step) ||
		mheap.pages_inuse >= load_relaxed(&limits.inuse_at))
		store_relaxed(&limits_due, true);
}

void limits_look_now(bool anyway)
{
	void (*look)(void) = load_relaxed(&limits.look);

	if (!xchg_relaxed(&limits_due, false) && !anyway)
		return;
	if (load_relaxed(&limits.warn) != SIZE_MAX)
		warn_look(scavenge_now_ms());
	if (look)
		look();
}

static double part(uint64_t used, uint64_t limit)
{
	return (double)used / ((double)limit + 1);
}

/* Keep the nearer of the two in s. */
static void consider(
	struct limits_state *s, enum limit kind, uint64_t used, uint64_t limit)
{
	if (s->limit != UINT64_MAX &&
		part(s->used, s->limit) >= part(used, limit))
		return;
	*s = (struct limits_state){.kind = kind, .used = used, .limit = limit};
}

/* When MAXHEAP wants a look: between what is used and the limit. */
static void set_inuse_at(size_t used, size_t limit)
{
	size_t at = SIZE_MAX;

	if (limit != SIZE_MAX)
		at = used < limit ? used + (limit - used) / 8 : used;
	store_relaxed(&limits.inuse_at,
		at == SIZE_MAX ? at : (at >> PAGE_SHIFT) + 1);
}

static void set_step(const struct limits_state *s)
{
	uint64_t left = STEP_MAX;

	if (s->limit != UINT64_MAX)
		left = (s->limit - MIN(s->used, s->limit)) / 8;
	store_relaxed(&limits.step,
		(size_t)MAX(MIN(left, (uint64_t)STEP_MAX), (uint64_t)STEP_MIN));
}

bool limits_nearest(struct limits_state *s)
{
	size_t fresh = xchg_relaxed(&limits.fresh, 0);
	size_t max = load_relaxed(&limits.max_heap);
	size_t memory = load_relaxed(&limits.memory);
	size_t inuse = load_relaxed(&mheap.pages_inuse) << PAGE_SHIFT;
	size_t idle = load_relaxed(&mheap.pages_idle) << PAGE_SHIFT;
	struct cgroup_memory m;

	*s = (struct limits_state){.limit = UINT64_MAX};
	if (memory != SIZE_MAX) {
		uint64_t ready = mheap_mapped_ready();

		consider(s, LIMIT_MEMORY, ready - MIN(idle, ready), memory);
	}
	if (cgroup_nearest(&cgroup, 0, &m)) {
		if (fresh < m.limit)
			cgroup_nearest(&cgroup, fresh, &m);
		consider(s, LIMIT_CGROUP, m.used, m.limit);
	}
	set_step(s);
	if (max != SIZE_MAX)
		consider(s, LIMIT_MAXHEAP, inuse, max);
	set_inuse_at(inuse, max);
	return s->limit != UINT64_MAX;
}
