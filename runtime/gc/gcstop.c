/* SPDX-License-Identifier: MIT */
/*
 * gcstop: the part of a cycle that the program has to wait for, and what can
 * be done before so that it is short.
 *
 *	prepare   what takes time and needs no stop: modules, maps, memory
 *	stop      tables locked, then the world (stw.c)
 *	freeze    what a copy would not keep; copy the process (snapshot.c)
 *	start     the pause is over
 *
 * Where the process can't be copied, marking happens in place with the world
 * stopped: for a small heap, when somebody has asked for the cycle, and at the
 * end of the process, where the world is not started again. GODEBUG=
 * gcstoptheworld=1 asks for that always, as in Go.
 *
 * Locks: gctables over the stop, so that the copy finds the tables whole.
 * Threads at rest hold no lock of ours (stw.h), but the library's helper is not
 * brought to rest: what it shares with the copy, the table of symbols, is locked
 * once the world stands.
 */
#include "alloc/mheap.h"
#include "alloc/stats.h"
#include "base/atomics.h"
#include "base/errtext.h"
#include "base/options.h"
#include "gc/finalizer.h"
#include "gc/gccycle.h"
#include "gc/gcpace.h"
#include "gc/gctables.h"
#include "gc/lsan.h"
#include "gc/unforked.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "profile/symbols.h"

#include <time.h>

enum {
	SMALL_HEAP = 64 << 20, /* bytes that are marked in 30 ms */
	STOP_TRIES = 8,	       /* with pauses of 1, 2, 4 ... ms between */
	COPY_SHARE = 8,	       /* of physical memory, what a copy may cost */
};

bool gcstop_lock_within(struct lock *l, int64_t ns)
{
	int64_t end = clock_mono_ns() + ns;

	while (!trylock(l)) {
		if (clock_mono_ns() > end)
			return false;
		sys0(SYS_sched_yield);
	}
	return true;
}

/* -------- before the stop -------- */

static void set_up(struct cycle *c)
{
	bool reclaim = options->gc == GC_RECLAIM && c->reason != GC_EXIT;

	c->job = (struct gcjob){.roots = &c->roots, .stw = &c->stw};
	c->job.mark = (struct mark_options){
		.unaligned = options->unaligned || lsan.use_unaligned,
		.tag_bits = (unsigned)options->pointer_tags};
	c->job.root_kinds = lsan_root_kinds();
	if (options->roots == ROOTS_STRICT)
		c->job.root_kinds &= ~(1u << ROOT_SHARED | 1u << ROOT_KERNEL);
	c->job.mark.no_mappings = options->roots == ROOTS_STRICT;
	/* Freed by mistake is worse than kept by mistake. */
	c->job.mappings_live = reclaim && options->roots == ROOTS_ALL;
	c->job.classes = c->leaks;
	c->job.garbage = reclaim;
	c->job.finalizers = c->reason != GC_EXIT && finalizer_count() > 0;
}

static bool must_stay(const struct cycle *c)
{
	return c->reason == GC_EXIT || options->godebug.gcstoptheworld ||
	       !snapshot_allowed();
}

static const char *prepare(struct cycle *c)
{
	struct heapstats h;

	if (options->gc == GC_OFF)
		return "GOSTAT_GC=off";
	heapstats_read(&h);
	c->heap_start = h.alloc;
	c->goal = gcpace_goal();
	c->in_place = must_stay(c);
	if (c->in_place && c->reason != GC_EXIT && c->reason != GC_FORCED &&
		!options->godebug.gcstoptheworld && h.inuse > SMALL_HEAP)
		return "the process can't be copied, and its heap is large";
	if (!roots_prepare(&c->roots))
		return c->roots.error ? c->roots.error : "cannot read /proc";
	set_up(c);
	return gcjob_alloc(&c->job) ? NULL : "no memory for the result";
}

/* -------- the stop -------- */

static bool lock_tables(const struct cycle *c)
{
	if (c->reason == GC_EXIT)
		return gctables_trylock(GC_LAST_NS);
	gctables_lock();
	return true;
}

static void pause_ms(long ms)
{
	struct timespec ts = {0, ms * 1000000};

	sys2(SYS_nanosleep, &ts, NULL);
}

/* NULL: the world stands, and the tables are locked. */
static const char *stop(struct cycle *c)
{
	enum stw_result r = STW_LATE;

	for (int i = 0; i < STOP_TRIES && r == STW_LATE; i++) {
		if (i > 0)
			pause_ms(1l << (i - 1));
		if (!lock_tables(c))
			return "a lock is held for ever";
		gc_event(GC_EVENT_STOP, 0, 0);
		r = stw_stop(&c->stw, 0);
		if (r != STW_OK) {
			gc_event(GC_EVENT_GO, 0, 0);
			gctables_unlock();
		}
	}
	return r == STW_OK ? NULL : stw_why(r);
}

static void start(struct cycle *c)
{
	c->started_ns = clock_mono_ns();
	c->pause_ns = c->started_ns - c->stw.stopped_ns;
	c->at_rest = c->reason == GC_EXIT;
	if (!c->at_rest)
		stw_start(&c->stw);
	gc_event(GC_EVENT_GO, (uint64_t)c->pause_ns, 0);
	gctables_unlock();
}

static void mark_in_place(struct cycle *c)
{
	c->in_place = true;
	/* Threads of ours would be seen in /proc by who still runs. */
	c->job.mark.nworkers =
		c->reason == GC_EXIT ? gc_workers(c->reason) : 1;
	snapshot_in_place(&c->snapshot, gcjob_run, &c->job);
}

static bool copy(struct cycle *c)
{
	bool done;

	c->job.copy = true;
	c->job.mark.nworkers = gc_workers(c->reason);
	c->snapshot.budget.copy_bytes = sysmem_physical() / COPY_SHARE;
	/*
	 * Who reclaims has a program that goes on allocating: the later the
	 * verdict, the larger the heap.
	 */
	c->snapshot.urgent = c->reason == GC_FORCED || c->job.garbage;
	symbols_prefork(); /* the helper may be looking something up */
	unforked_admit();
	done = snapshot_take(&c->snapshot, gcjob_run, &c->job);
	unforked_expel();
	symbols_postfork(false);
	c->job.copy = done;
	return done;
}

/* With the world stopped: mark here, or make a copy that does. */
static const char *stopped(struct cycle *c)
{
	bool small = load_relaxed(&mheap.pages_inuse) <= SMALL_HEAP / PAGE_SIZE;

	if (!roots_freeze(&c->roots, &c->stw))
		return "no memory to freeze roots";
	if (!c->in_place && copy(c))
		return NULL;
	if (!c->in_place && !small && c->reason != GC_FORCED)
		return errtext(c->snapshot.error);
	mark_in_place(c);
	return NULL;
}

const char *gcstop(struct cycle *c)
{
	const char *error = prepare(c);

	if (!error)
		error = stop(c);
	if (error)
		return error;
	error = stopped(c);
	start(c);
	if (!error && !c->in_place)
		gc_event(GC_EVENT_MARK, (uint64_t)c->snapshot.pid, 0);
	return error;
}
