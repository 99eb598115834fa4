/* SPDX-License-Identifier: MIT */
/*
 * gcpoll: when to start a cycle, and what the user may say about that.
 *
 *	allocator --on_goal()--> gc_hooks.request() ~~~> gc_due()
 *
 * The allocator only passes the word on: a cycle is no work for malloc. Who
 * runs cycles then asks gc_due(), which looks at exact figures, and again after
 * the time it says: Go starts one every two minutes at least.
 *
 * A cycle that is due but can't be had (the program writes too much, clone is
 * refused) is due again when the heap has grown by as much as if it had been.
 */
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "alloc/stats.h"
#include "base/atomics.h"
#include "base/options.h"
#include "gc/gccycle.h"
#include "gc/gcpace.h"
#include "os/clock.h"
#include "os/tasks.h"

#define PERIOD_NS INT64_C(120000000000) /* Go's forcegcperiod */

enum {
	HEADROOM = 3, /* percent of the limit; Go's */
	SHARE = 4,    /* times what a cycle takes, between two at the limit */
	PAUSE_NS = 10000000, /* and at least that */
};

static struct {
	int64_t started_ns; /* the library, monotonic */
	int workers;	    /* threads that mark; 0: not set */
	int64_t last_ns;    /* last cycle that was due, monotonic */
} poll;

int64_t gcpoll_age_ns(void)
{
	return clock_mono_ns() - poll.started_ns;
}

unsigned gc_workers(enum gc_reason reason)
{
	unsigned cpus = cpus_usable();
	unsigned n = (unsigned)load_relaxed(&poll.workers);

	if (n)
		return n;
	/* Go's share for background work, all of it when somebody waits. */
	return reason == GC_FORCED || reason == GC_EXIT ? MIN(cpus, 8u)
							: MAX(cpus / 4, 1u);
}

int gc_set_workers(int n)
{
	int old = load_relaxed(&poll.workers);

	if (n > 0)
		store_relaxed(&poll.workers, MIN(n, (int)MARK_WORKERS));
	return old ? old : (int)cpus_usable();
}

/*
 * Go's formula: what the limit leaves for HeapAlloc when all that is not it is
 * taken off, and what is over the limit already, and some headroom.
 */
uint64_t gcpoll_ceiling(void)
{
	int64_t limit = limits_set_memory(-1);
	uint64_t max = (uint64_t)limit, ready, other;
	struct heapstats h;

	if (options->gc != GC_RECLAIM || limit == INT64_MAX)
		return UINT64_MAX;
	heapstats_read(&h);
	ready = mheap_mapped_ready();
	other = h.idle - h.released + h.alloc;
	other = ready > other ? ready - other : 0;
	other += ready > max ? ready - max : 0;
	other += MAX(max / 100 * HEADROOM, (uint64_t)MIB);
	return max > other ? max - other : 0;
}

/*
 * Where what is live does not fit under the limit a cycle would be due all the
 * time; they are kept apart by a multiple of what one takes.
 */
static bool too_soon(int64_t now, int64_t *again_ns)
{
	int64_t next = poll.last_ns + MAX(SHARE * gc_last_ns(), PAUSE_NS);

	if (!gcpace_by_limit() || now >= next)
		return false;
	*again_ns = next;
	return true;
}

bool gc_due(enum gc_reason *reason, int64_t *again_ns)
{
	int64_t now = clock_mono_ns();
	bool paced = gcpace_percent() >= 0;
	struct heapstats h;

	gc_look_at_limit();
	*again_ns = paced ? poll.last_ns + PERIOD_NS : INT64_MAX;
	heapstats_read(&h);
	if (gcpace_reached(h.alloc)) {
		*reason = gcpace_by_limit() ? GC_LIMIT : GC_HEAP;
		if (too_soon(now, again_ns))
			return false;
	} else if (paced && now >= *again_ns) {
		*reason = GC_PERIODIC;
	} else {
		return false;
	}
	poll.last_ns = now;
	if (paced)
		*again_ns = now + PERIOD_NS;
	return true;
}

static void on_goal(void)
{
	/* Once; gcpace_reached() says when to ask again. */
	store_relaxed(&mheap.gc_pages, SIZE_MAX);
	if (gc_hooks.request)
		gc_hooks.request();
}

AT_START void gcpoll_start(void)
{
	poll.started_ns = poll.last_ns = clock_mono_ns();
	mheap.on_goal = on_goal;
}
