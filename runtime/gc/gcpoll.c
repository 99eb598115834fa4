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
#define LIMIT_NS INT64_C(1000000000)	/* between cycles near the limit */

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

/* Near GOMEMLIMIT with something to reclaim. */
static bool limit_near(void)
{
	int64_t limit = limits_set_memory(-1);

	return options->gc == GC_RECLAIM && limit != INT64_MAX &&
	       mheap_mapped_ready() > (uint64_t)limit / 20 * 19;
}

/* 0: at no time. */
static int64_t period_ns(void)
{
	if (options->gc == GC_RECLAIM && limits_set_memory(-1) != INT64_MAX)
		return LIMIT_NS;
	return gcpace_percent() >= 0 ? PERIOD_NS : 0;
}

bool gc_due(enum gc_reason *reason, int64_t *again_ns)
{
	int64_t now = clock_mono_ns(), period = period_ns();
	struct heapstats h;
	bool due = true;

	heapstats_read(&h);
	if (gcpace_reached(h.alloc))
		*reason = GC_HEAP;
	else if (limit_near() && now - poll.last_ns > LIMIT_NS)
		*reason = GC_LIMIT;
	else if (gcpace_percent() >= 0 && now - poll.last_ns >= PERIOD_NS)
		*reason = GC_PERIODIC;
	else
		due = false;
	if (due)
		poll.last_ns = now;
	*again_ns = !period ? INT64_MAX
		    : period == LIMIT_NS ? now + period
					 : poll.last_ns + period;
	return due;
}

static void on_goal(void)
{
	/* Once; gcpace_reached() says when to ask again. */
	store_relaxed(&mheap.gc_pages, SIZE_MAX);
	if (gc_hooks.request)
		gc_hooks.request();
}

void gcpoll_start(void)
{
	poll.started_ns = poll.last_ns = clock_mono_ns();
	mheap.on_goal = on_goal;
}
