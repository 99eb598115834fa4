/* SPDX-License-Identifier: MIT */
/*
 * gcstop: the part of a cycle that the program has to wait for, and what can
 * be done before so that it is short.
 *
 *	prepare   what takes time and needs no stop: modules, maps, memory
 *	stop      tables locked, then the world (stw.c)
 *	freeze    what a copy would not keep
 *	copy      stacks by hand (carry.c), the process by clone (snapshot.c)
 *	start     the pause is over
 *
 * Where the process can't be copied, a small heap is marked in place with the
 * world stopped. For a large one most of the work is done before the world is
 * stopped, if the kernel tells which pages are written meanwhile (ahead.c). If
 * not, it is marked in place only when somebody has asked for the cycle, and at
 * the end of the process, where the world is not started again. GODEBUG=
 * gcstoptheworld=1 asks for that always, as in Go; gcnocopy=1 refuses copies.
 *
 * Rejected for the last case: to mark in slices, each with the world stopped.
 * Without a record of what is written between them, an object that moves from
 * a place that is still to be looked at to one that was is missed.
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
#include "base/fatal.h"
#include "base/options.h"
#include "gc/finalizer.h"
#include "gc/gccycle.h"
#include "gc/gcpace.h"
#include "gc/gctables.h"
#include "gc/lsan.h"
#include "gc/spare.h"
#include "gc/unforked.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "profile/symbols.h"

#include <time.h>

enum {
	SMALL_HEAP = 64 << 20, /* bytes that are marked in 30 ms */
	STOP_TRIES = 8,	       /* with pauses of 1, 2, 4 ... ms between */
	CALM = 16 << 20,       /* bytes that are marked in 8 ms */
	LARGE_MAPS = 512 << 20, /* bytes that are read in 50 ms */
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

	c->job = (struct gcjob){
		.roots = &c->roots, .stw = &c->stw, .carry = &c->carry};
	c->job.mark = (struct mark_options){
		.unaligned = options->unaligned || lsan.use_unaligned,
		/*
		 * Structures packed to four bytes are common (Ruby's buffers of
		 * files, epoll_event). It takes a sixth more time, and none in
		 * lists.
		 */
		.halves = true,
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

/* Without a copy, if it comes to that: who waits gets an answer. */
static bool may_stand(const struct cycle *c, bool small)
{
	return small || c->reason == GC_FORCED;
}

static void choose(struct cycle *c, bool small)
{
	bool no_copy = options->godebug.gcnocopy;

	c->in_place =
		c->reason == GC_EXIT || options->godebug.gcstoptheworld;
	if (c->in_place || (!no_copy && snapshot_allowed()))
		return;
	c->in_place = small && !no_copy;
	c->by_parts = !c->in_place;
}

static const char *prepare(struct cycle *c)
{
	struct heapstats h;

	if (options->gc == GC_OFF)
		return "GOSTAT_GC=off";
	heapstats_read(&h);
	c->heap_start = h.alloc;
	c->goal = gcpace_goal();
	choose(c, h.inuse <= SMALL_HEAP);
	if (!roots_prepare(&c->roots))
		return c->roots.error ? c->roots.error : "cannot read /proc";
	set_up(c);
	if (!c->in_place && !c->by_parts) {
		snapshot_prepare(&c->snapshot);
		carry_prepare(&c->carry);
	}
	if (!gcjob_alloc(&c->job))
		return "no memory for the result";
	/* Last: what it leaves is used by whoever comes first. */
	if (!c->in_place && !c->by_parts)
		spare_tables(h.inuse);
	return NULL;
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
	int64_t pause_ns;

	c->started_ns = clock_mono_ns();
	pause_ns = c->started_ns - c->stw.stopped_ns;
	if (!c->pause_ns)
		c->begun_ns = c->stw.stopped_ns;
	c->pause_ns += pause_ns;
	c->at_rest = c->reason == GC_EXIT;
	if (!c->at_rest)
		stw_start(&c->stw);
	gc_event(GC_EVENT_GO, (uint64_t)pause_ns, 0);
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
	carry_pack(&c->carry, &c->stw);
	done = snapshot_take(&c->snapshot, gcjob_run, &c->job);
	carry_done(&c->carry);
	unforked_expel();
	symbols_postfork(false);
	c->job.copy = done;
	return done;
}

/* Why there is nothing else than to mark a large heap in place. */
static const char *why_not(enum writetrack_result r)
{
	static const char *const why[WRITETRACK_NRESULT] = {
		[WRITETRACK_REFUSED] = "the process can't be copied, its heap "
				       "is large, and userfaultfd is refused",
		[WRITETRACK_OLD] = "the process can't be copied, its heap is "
				   "large, and the kernel does not track "
				   "writes",
		[WRITETRACK_NO_PAGEMAP] = "the process can't be copied, its "
					  "heap is large, and pagemap can't "
					  "be read",
		[WRITETRACK_NO_MEMORY] = "no memory to mark",
		[WRITETRACK_FAILED] = "the process can't be copied, its heap "
				      "is large, and the kernel tracks writes "
				      "in a strange way",
	};

	return why[r];
}

/* The first of two stops. */
static const char *take_stock(struct cycle *c)
{
	struct ahead_options o = {
		c->job.mark, c->job.root_kinds, c->job.mappings_live, CALM};
	const char *error = ahead_begin(&c->ahead, &c->roots, &c->stw, &o);
	const struct gc_range *r = c->ahead.roots.pieces.v;
	uint64_t bytes = 0;

	for (size_t i = 0; !error && i < c->ahead.roots.pieces.n; i++)
		bytes += r[i].hi - r[i].lo;
	if (bytes > LARGE_MAPS && c->reason != GC_FORCED)
		error = "the process can't be copied, and it has large "
			"mappings";
	return error;
}

/* With the world stopped: mark here, or see to it that it is done elsewhere. */
static const char *stopped(struct cycle *c)
{
	bool small = load_relaxed(&mheap.pages_inuse) <= SMALL_HEAP / PAGE_SIZE;
	enum writetrack_result r;

	if (!roots_freeze(&c->roots, &c->stw))
		return "no memory to freeze roots";
	if (!c->in_place && !c->by_parts) {
		if (copy(c))
			return NULL;
		c->in_place = small;
		c->by_parts = !small;
	}
	if (c->by_parts) {
		r = ahead_open(&c->ahead);
		if (r == WRITETRACK_OK)
			return take_stock(c);
		c->by_parts = false;
		if (!may_stand(c, small))
			return why_not(r);
	}
	mark_in_place(c);
	return NULL;
}

const char *gcstop(struct cycle *c)
{
	const char *error = prepare(c);

	if (!error)
		error = stop(c);
	if (!error) {
		error = stopped(c);
		start(c);
	}
	carry_free(&c->carry);
	if (!error && c->snapshot.error && options->verbose)
		warn("clone: %s", errtext(c->snapshot.error));
	if (!error && !c->in_place)
		gc_event(GC_EVENT_MARK, (uint64_t)(c->by_parts
				? sys0(SYS_gettid) : c->snapshot.pid), 0);
	return error;
}

/* -------- the second stop -------- */

static const char *prepare_again(struct cycle *c)
{
	if (c->ahead.error)
		return c->ahead.error;
	if (c->ahead.left > SMALL_HEAP && c->reason != GC_FORCED) {
		c->outcome = GC_ABORTED;
		return "the process can't be copied, and it writes too much";
	}
	if (!roots_prepare(&c->roots))
		return c->roots.error ? c->roots.error : "cannot read /proc";
	gcjob_free(&c->job);
	set_up(c);
	c->job.ahead = &c->ahead;
	return gcjob_alloc(&c->job) ? NULL : "no memory for the result";
}

const char *gcstop_again(struct cycle *c)
{
	const char *error = prepare_again(c);

	if (!error)
		error = stop(c);
	if (error)
		return error;
	if (!roots_freeze(&c->roots, &c->stw))
		error = "no memory to freeze roots";
	else
		mark_in_place(c);
	start(c);
	c->cpu_ns = c->ahead.cpu_ns + c->pause_ns;
	return error ? error : c->job.result->error;
}
