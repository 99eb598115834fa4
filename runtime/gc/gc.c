/* SPDX-License-Identifier: MIT */
/*
 * gc: one cycle.
 *
 *	prepare   what takes time and needs no stop: modules, maps, memory
 *	stop      tables locked, then the world (stw.c)
 *	freeze    what a copy would not keep; copy the process (snapshot.c)
 *	start     the pause is over
 *	wait      the copy marks: gcjob.c
 *	conclude  strike out what was freed since; sweep or report; count
 *
 * "Snapshot at the beginning": what nobody could reach when the world stood,
 * nobody can reach later. So the copy's verdict holds although the program
 * goes on, and objects allocated meanwhile are not in it at all.
 *
 * Where the process can't be copied, marking happens in place with the world
 * stopped: for a small heap, when somebody has asked for the cycle, and at the
 * end of the process, where the world is not started again.
 *
 * Locks: gc.lock (LOCK_GC) over the whole cycle, so two never overlap;
 * gctables over the stop; results over the leaks that readers look at. At the
 * end of the process locks are tried for a while: whoever has them may have
 * been killed, or interrupted by the very signal that ends it.
 */
#include "gc/gc.h"
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "alloc/stats.h"
#include "base/atomics.h"
#include "base/errtext.h"
#include "base/lock.h"
#include "base/options.h"
#include "gc/finalizer.h"
#include "gc/gcjob.h"
#include "gc/gcpace.h"
#include "gc/gcsweep.h"
#include "gc/gctables.h"
#include "gc/gctrace.h"
#include "gc/leakscope.h"
#include "gc/lsan.h"
#include "gc/snapshot.h"
#include "gc/suppress.h"
#include "os/clock.h"
#include "os/sysmem.h"
#include "os/tasks.h"
#include "profile/modules.h"
#include "profile/symbols.h"

#include <string.h>

enum {
	SMALL_HEAP = 64 << 20, /* bytes that are marked in 30 ms */
	STOP_TRIES = 8,	       /* with pauses of 1, 2, 4 ... ms between */
	WAIT_NS = 100000000,   /* between looks at the copy's budget */
	LAST_NS = 1000000000,  /* to wait for locks at the end */
	COPY_SHARE = 8,	       /* of physical memory, what a copy may cost */
};
#define PERIOD_NS INT64_C(120000000000) /* Go's forcegcperiod */
#define LIMIT_NS INT64_C(1000000000)	/* between cycles near the limit */

static struct gc {
	struct lock lock;
	struct lock results;
	int64_t started_ns; /* the library, monotonic */
	int workers;	    /* threads that mark; 0: not set */
	bool ending;	    /* a running cycle should give up */
	struct stw stw;
	struct rootset roots;
	struct snapshot snapshot;

	/* Under results: of the last cycle that looked for leaks. */
	struct gcjob kept; /* holds the list */
	struct leaks leaks;
	bool have_leaks;
} gc = {.lock = LOCK_INIT(LOCK_GC), .results = LOCK_INIT(LOCK_GCRESULTS)};

struct gc_hooks gc_hooks;

/* One cycle under way. */
struct cycle {
	enum gc_reason reason;
	bool leaks, in_place;
	struct gcjob job;
	uint64_t heap_start; /* HeapAlloc */
	int64_t pause_ns, mark_ns, cpu_ns;
	enum gc_outcome outcome;
};

/* -------- before the stop -------- */

static bool lock_within(struct lock *l, int64_t ns)
{
	int64_t end = clock_mono_ns() + ns;

	while (!trylock(l)) {
		if (clock_mono_ns() > end)
			return false;
		sys0(SYS_sched_yield);
	}
	return true;
}

static bool begin(enum gc_reason reason)
{
	if (reason != GC_EXIT) {
		lock(&gc.lock);
		return true;
	}
	store_relaxed(&gc.ending, true);
	return lock_within(&gc.lock, LAST_NS);
}

static unsigned workers(enum gc_reason reason, bool in_place)
{
	unsigned cpus = cpus_usable(), n = (unsigned)load_relaxed(&gc.workers);

	if (in_place && reason != GC_EXIT)
		return 1; /* others' threads would be seen in /proc */
	if (n)
		return n;
	/* Go's share for background work, all of it when somebody waits. */
	return reason == GC_FORCED || reason == GC_EXIT ? MIN(cpus, 8u)
							: MAX(cpus / 4, 1u);
}

static void set_up(struct cycle *c)
{
	bool reclaim = options->gc == GC_RECLAIM && c->reason != GC_EXIT;

	c->job.roots = &gc.roots;
	c->job.stw = &gc.stw;
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

static const char *prepare(struct cycle *c)
{
	struct heapstats h;

	if (options->gc == GC_OFF)
		return "GOSTAT_GC=off";
	if (c->reason != GC_EXIT)
		modules_refresh();
	heapstats_read(&h);
	c->heap_start = h.alloc;
	c->in_place = c->reason == GC_EXIT || !snapshot_allowed();
	if (c->in_place && c->reason != GC_EXIT && c->reason != GC_FORCED &&
		h.inuse > SMALL_HEAP)
		return "the process can't be copied, and its heap is large";
	if (!roots_prepare(&gc.roots))
		return gc.roots.error ? gc.roots.error : "cannot read /proc";
	set_up(c);
	return gcjob_alloc(&c->job) ? NULL : "no memory for the result";
}

/* -------- the stop -------- */

static bool lock_tables(const struct cycle *c)
{
	bool ok = true;

	symbols_prefork();
	if (c->reason == GC_EXIT)
		ok = gctables_trylock(LAST_NS);
	else
		gctables_lock();
	if (!ok)
		symbols_postfork(false);
	return ok;
}

static void unlock_tables(void)
{
	gctables_unlock();
	symbols_postfork(false);
}

static void pause_ms(long ms)
{
	struct timespec ts = {0, ms * 1000000};

	sys2(SYS_nanosleep, &ts, NULL);
}

/* NULL: the world stands, and the tables are locked. */
static const char *stop(const struct cycle *c)
{
	enum stw_result r = STW_LATE;

	for (int i = 0; i < STOP_TRIES && r == STW_LATE; i++) {
		if (i > 0)
			pause_ms(1l << (i - 1));
		if (!lock_tables(c))
			return "a lock is held for ever";
		r = stw_stop(&gc.stw, 0);
		if (r != STW_OK)
			unlock_tables();
	}
	return r == STW_OK ? NULL : stw_why(r);
}

static void start(struct cycle *c)
{
	int64_t now = clock_mono_ns();

	c->pause_ns = now - gc.stw.stopped_ns;
	if (c->reason != GC_EXIT)
		stw_start(&gc.stw);
}

static const char *mark_in_place(struct cycle *c)
{
	c->in_place = true;
	c->job.mark.nworkers = workers(c->reason, true);
	gctables_unlock();
	symbols_postfork(false); /* nobody else runs, and the job asks */
	snapshot_in_place(&gc.snapshot, gcjob_run, &c->job);
	start(c);
	return NULL;
}

/* With the world stopped: mark here, or make a copy that does. */
static const char *stopped(struct cycle *c)
{
	const char *error = "no memory to freeze roots";
	bool small = load_relaxed(&mheap.pages_inuse) <= SMALL_HEAP / PAGE_SIZE;

	if (roots_freeze(&gc.roots, &gc.stw)) {
		if (c->in_place)
			return mark_in_place(c);
		c->job.copy = true;
		c->job.mark.nworkers = workers(c->reason, false);
		gc.snapshot.budget.copy_bytes = sysmem_physical() / COPY_SHARE;
		if (snapshot_take(&gc.snapshot, gcjob_run, &c->job)) {
			start(c);
			unlock_tables();
			return NULL;
		}
		c->job.copy = false;
		error = errtext(gc.snapshot.error);
		if (small || c->reason == GC_FORCED)
			return mark_in_place(c);
	}
	start(c);
	unlock_tables();
	return error;
}

/* -------- after it -------- */

static const char *wait(struct cycle *c)
{
	enum snapshot_state state = SNAPSHOT_DONE;

	while (!c->in_place) {
		state = snapshot_wait(&gc.snapshot, WAIT_NS);
		if (state != SNAPSHOT_RUNNING)
			break;
		if (load_relaxed(&gc.ending)) {
			snapshot_kill(&gc.snapshot);
			state = SNAPSHOT_DIED;
			break;
		}
	}
	c->cpu_ns = c->in_place ? c->pause_ns : gc.snapshot.cpu_ns;
	if (state == SNAPSHOT_DONE)
		return c->job.result->error;
	c->outcome = GC_ABORTED;
	return state == SNAPSHOT_BUDGET ? "the program writes too much: the "
					  "copy was over its budget"
					: "the copy of the process was killed";
}

static bool trustworthy(const struct gcjob_result *r)
{
	return !r->unstopped && !r->noregs && !r->shared_unfrozen;
}

/* What was found becomes what readers see. The old list goes. */
static void keep_leaks(struct cycle *c)
{
	struct gcjob_result *r = c->job.result;

	if (c->reason != GC_EXIT)
		lock(&gc.results);
	leaks_free(&gc.leaks);
	if (gc.kept.result)
		leaklist_close(&gc.kept.result->list);
	gcjob_free(&gc.kept);
	gc.kept = c->job;
	c->job.result = NULL;
	if (!leaks_count(&gc.leaks, &r->list))
		gc.leaks.truncated = true;
	gc.leaks.live_objects = r->live_objects;
	gc.leaks.live_bytes = r->live_bytes;
	gc.have_leaks = true;
	if (c->reason != GC_EXIT)
		unlock(&gc.results);
}

static double cpu_fraction(const struct gcstats *s, int64_t now)
{
	double all = (double)(now - gc.started_ns) * cpus_usable();

	return all > 0 ? MIN((double)s->cpu_ns / all, 1) : 0;
}

static void trace(const struct cycle *c, const struct gcstats *s,
	const struct gcjob_result *r, uint64_t goal, int64_t now)
{
	struct heapstats h;
	struct gctrace t = {.number = s->numgc,
		.since_start_ns = now - gc.started_ns,
		.cpu_fraction = s->cpu_fraction,
		.pause_ns = c->pause_ns,
		.mark_ns = c->mark_ns,
		.cpu_ns = c->cpu_ns,
		.heap_start = c->heap_start,
		.heap_marked = r->live_bytes,
		.goal = goal,
		.stacks = r->stack_bytes,
		.globals = r->global_bytes,
		.procs = cpus_usable(),
		.forced = c->reason == GC_FORCED};
	char line[512];
	struct fmt f;

	heapstats_read(&h);
	t.heap_end = h.alloc;
	fmt_init(&f, line, sizeof(line), -1);
	gctrace_line(&f, &t);
	if (gc_hooks.trace)
		gc_hooks.trace(line, f.len);
}

static void count(struct cycle *c, uint64_t objects, uint64_t bytes)
{
	const struct gcjob_result *r = c->job.result;
	struct gcstats *s = gcstats_begin();
	int64_t now = clock_mono_ns();
	uint64_t goal = gcpace_goal();

	gcpace_marked(r->live_bytes, r->stack_bytes + r->global_bytes);
	gcstats_cycle(s, c->reason == GC_FORCED, (uint64_t)c->pause_ns,
		(uint64_t)clock_unix_ns());
	s->cpu_ns += c->cpu_ns;
	s->cpu_fraction = cpu_fraction(s, now);
	s->next_gc = gcpace_goal();
	s->marked_bytes = r->live_bytes;
	s->reclaimed_objects += objects;
	s->reclaimed_bytes += bytes;
	s->cycles[c->reason][GC_COMPLETED]++;
	gcstats_end();
	if (options->godebug.gctrace)
		trace(c, s, r, goal, now);
}

static void conclude(struct cycle *c)
{
	struct gcjob_result *r = c->job.result;
	uint64_t objects = 0, bytes = 0;

	if (c->job.finalizers)
		finalizer_due(r->finalizer, r->nfinalizers);
	if (leaklist_open(&r->list)) {
		if (c->reason != GC_EXIT)
			leaklist_verify(&r->list);
		if (c->job.garbage && trustworthy(r))
			gcsweep(&r->list, &objects, &bytes);
	}
	count(c, objects, bytes);
	leak_forget_freed();
	if (c->leaks)
		keep_leaks(c);
	else
		leaklist_close(&r->list);
	if (r->nfinalizers && gc_hooks.finalizers)
		gc_hooks.finalizers();
}

/* -------- the cycle -------- */

static const char *run(struct cycle *c)
{
	const char *error = prepare(c);
	int64_t t;

	if (!error)
		error = stop(c);
	if (!error) {
		error = stopped(c);
		t = clock_mono_ns();
		if (!error)
			error = wait(c);
		c->mark_ns = c->in_place ? 0 : clock_mono_ns() - t;
	}
	if (!error)
		conclude(c);
	gcjob_free(&c->job);
	roots_free(&gc.roots);
	return error;
}

const char *gc_cycle(enum gc_reason reason, bool leaks)
{
	struct cycle c = {
		.reason = reason, .leaks = leaks, .outcome = GC_REFUSED};
	const char *error = "a cycle is under way for ever";
	struct gcstats *s;

	if (!begin(reason))
		return error;
	error = run(&c);
	if (error) {
		s = gcstats_begin();
		s->cycles[reason][c.outcome]++;
		gcstats_end();
	}
	unlock(&gc.lock);
	return error;
}

const struct leaks *gc_leaks(void)
{
	lock(&gc.results);
	return gc.have_leaks ? &gc.leaks : NULL;
}

void gc_leaks_done(void)
{
	unlock(&gc.results);
}

/* -------- when to start one -------- */

int gc_set_percent(int percent)
{
	struct gcstats *s;
	int old;

	lock(&gc.lock); /* as in Go: a running mark ends first */
	old = gcpace_set_percent(percent);
	s = gcstats_begin();
	s->next_gc = gcpace_goal();
	gcstats_end();
	unlock(&gc.lock);
	if (percent >= 0 && gc_hooks.request)
		gc_hooks.request();
	return old;
}

int gc_percent(void)
{
	return gcpace_percent();
}

int gc_set_workers(int n)
{
	int old = load_relaxed(&gc.workers);

	if (n > 0)
		store_relaxed(&gc.workers, MIN(n, (int)MARK_WORKERS));
	return old ? old : (int)cpus_usable();
}

/* Near GOMEMLIMIT with something to reclaim, and not at once again. */
static bool limit_near(const struct gcstats *s, int64_t now)
{
	int64_t limit = limits_set_memory(-1);

	return options->gc == GC_RECLAIM && limit != INT64_MAX &&
	       mheap_mapped_ready() > (uint64_t)limit / 20 * 19 &&
	       now - (int64_t)s->last_gc > LIMIT_NS;
}

int64_t gc_poll(void)
{
	int64_t now = clock_unix_ns();
	struct gcstats s;
	struct heapstats h;

	if (gcpace_percent() < 0 && limits_set_memory(-1) == INT64_MAX)
		return INT64_MAX;
	gcstats_read(&s);
	heapstats_read(&h);
	if (gcpace_reached(h.alloc))
		gc_cycle(GC_HEAP, false);
	else if (limit_near(&s, now))
		gc_cycle(GC_LIMIT, false);
	else if (gcpace_percent() >= 0 && s.last_gc &&
		 now - (int64_t)s.last_gc > PERIOD_NS)
		gc_cycle(GC_PERIODIC, false);
	return clock_mono_ns() + LIMIT_NS;
}

static void on_goal(void)
{
	/* Once; gcpace_reached() says when to ask again. */
	store_relaxed(&mheap.gc_pages, SIZE_MAX);
	if (gc_hooks.request)
		gc_hooks.request();
}

void gc_init(void)
{
	int percent = options->gogc;

	gc.started_ns = clock_mono_ns();
	if (options->gc == GC_OFF)
		percent = -1;
	mheap.on_goal = on_goal;
	gcpace_set_percent(percent);
	gcstats_begin()->next_gc = gcpace_goal();
	gcstats_end();
}

/* -------- fork -------- */

void gc_prefork(void)
{
	lock(&gc.lock);
	gctables_lock();
}

void gc_postfork_parent(void)
{
	gctables_unlock();
	unlock(&gc.lock);
}

/*
 * The child has its parent's heap and none of its history. What the parent
 * found stays the parent's: the list lies in memory that both would share.
 */
void gc_postfork_child(void)
{
	gctables_postfork_child();
	lock_reinit(&gc.lock);
	gc.results.state = 0;
	gc.have_leaks = false;
	leaks_free(&gc.leaks);
	if (gc.kept.result)
		leaklist_close(&gc.kept.result->list);
	gcjob_free(&gc.kept);
	snapshot_postfork_child(&gc.snapshot);
	gcstats_postfork_child();
	gc.started_ns = clock_mono_ns();
	gcpace_marked(0, 0);
	gcstats_begin()->next_gc = gcpace_goal();
	gcstats_end();
}
