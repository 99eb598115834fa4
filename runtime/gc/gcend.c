/* SPDX-License-Identifier: MIT */
/*
 * gcend: what becomes of a verdict.
 *
 *	strike out what was freed since --> sweep it (reclaim)
 *	                                --> keep it for readers (report)
 *	count: MemStats, the next goal, the line of gctrace
 *	mend: huge pages, for the next copy is made of page tables
 *
 * "Snapshot at the beginning": what nobody could reach when the world stood,
 * nobody can reach later, so the verdict holds although the program has gone
 * on.
 *
 * A rootset that is not complete (a thread that would not stop, shared memory
 * that was not frozen) still makes a report that is worth reading; nothing is
 * reclaimed on its word.
 *
 * Lock: results (LOCK_GCRESULTS) over the leaks that readers look at.
 */
#include "alloc/hugepage.h"
#include "alloc/stats.h"
#include "base/fatal.h"
#include "base/options.h"
#include "gc/finalizer.h"
#include "gc/gccycle.h"
#include "gc/gcpace.h"
#include "gc/gcsweep.h"
#include "gc/gctrace.h"
#include "gc/leakscope.h"
#include "os/clock.h"
#include "os/sysmem.h"
#include "os/tasks.h"

/* Blocks after each cycle: as many as take a 16th of its CPU, or 7 ms. */
enum { MEND = 8, MEND_NS = 900000, MEND_SHARE = 16 };

/* Of the last cycle that looked for leaks. */
static struct {
	struct lock lock;
	struct gcjob job; /* holds the list */
	struct leaks leaks;
	bool have;
	bool final; /* the world stands for good: no locks */
} results = {.lock = LOCK_INIT(LOCK_GCRESULTS)};

static void lock_results(void)
{
	if (!results.final)
		lock(&results.lock);
}

static void unlock_results(void)
{
	if (!results.final)
		unlock(&results.lock);
}

const struct leaks *gc_leaks(void)
{
	lock_results();
	return results.have ? &results.leaks : NULL;
}

void gc_leaks_done(void)
{
	unlock_results();
}

static void drop_results(void)
{
	leaks_free(&results.leaks);
	if (results.job.result)
		leaklist_close(&results.job.result->list);
	gcjob_free(&results.job);
	results.have = false;
}

/* What was found becomes what readers see. The old list goes. */
static void keep(struct cycle *c)
{
	struct gcjob_result *r = c->job.result;

	results.final = c->reason == GC_EXIT;
	lock_results();
	drop_results();
	gcjob_trim(&c->job);
	results.job = c->job;
	c->job.result = NULL;
	if (!leaks_count(&results.leaks, &r->list))
		results.leaks.truncated = true;
	results.leaks.live_objects = r->live_objects;
	results.leaks.live_bytes = r->live_bytes;
	results.have = true;
	unlock_results();
}

/* -------- figures -------- */

static double cpu_fraction(const struct gcstats *s)
{
	double all = (double)gcpoll_age_ns() * cpus_usable();

	return all > 0 ? MIN((double)s->cpu_ns / all, 1) : 0;
}

static void trace(const struct cycle *c, const struct gcstats *s,
	const struct gcjob_result *r)
{
	struct heapstats h;
	struct gctrace t = {.number = s->numgc,
		.since_start_ns = gcpoll_age_ns(),
		.cpu_fraction = s->cpu_fraction,
		.pause_ns = c->pause_ns,
		.mark_ns = c->mark_ns,
		.cpu_ns = c->cpu_ns,
		.heap_start = c->heap_start,
		.heap_marked = r->live_bytes,
		.goal = c->goal,
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

/* Found leaked, of the kinds that are reported. */
static void count_leaked(struct gcstats *s)
{
	const uint64_t *n = results.leaks.objects, *b = results.leaks.bytes;

	s->leaked_objects = n[LEAK_DIRECT] + n[LEAK_INDIRECT];
	s->leaked_bytes = b[LEAK_DIRECT] + b[LEAK_INDIRECT];
}

static void count(const struct cycle *c, const struct gcjob_result *r,
	uint64_t objects, uint64_t bytes)
{
	struct gcstats *s = gcstats_begin();

	gcpace_set_ceiling(gcpoll_ceiling());
	gcpace_marked(r->live_bytes, r->stack_bytes + r->global_bytes);
	gcstats_cycle(s, c->reason == GC_FORCED, (uint64_t)c->pause_ns,
		(uint64_t)clock_unix_ns());
	s->cpu_ns += c->cpu_ns;
	s->cpu_fraction = cpu_fraction(s);
	s->next_gc = gcpace_goal();
	s->marked_bytes = r->live_bytes;
	s->reclaimed_objects += objects;
	s->reclaimed_bytes += bytes;
	s->cycles[c->reason][GC_COMPLETED]++;
	if (c->leaks)
		count_leaked(s);
	gcstats_end();
	gc_event(GC_EVENT_GOAL, s->next_gc, 0);
	if (options->godebug.gctrace)
		trace(c, s, r);
}

/* -------- the end -------- */

static bool trustworthy(const struct gcjob_result *r)
{
	bool ok = !r->unstopped && !r->noregs && !r->shared_unfrozen &&
		  !r->rings;

	if (!ok && options->verbose)
		warn("nothing is reclaimed: %u threads could not be stopped, "
		     "%u not be read, %lu bytes shared with others, %u rings "
		     "of io_uring",
			r->unstopped, r->noregs, r->shared_unfrozen, r->rings);
	return ok;
}

static void sweep(struct gcjob_result *r, uint64_t *objects, uint64_t *bytes)
{
	if (!trustworthy(r))
		return;
	gc_event(GC_EVENT_SWEEP, 0, 0);
	gcsweep(&r->list, objects, bytes);
	gc_event(GC_EVENT_SWEPT, r->bytes, *bytes);
}

void gcend(struct cycle *c)
{
	struct gcjob_result *r = c->job.result;
	const struct gcjob_result figures = {.live_bytes = r->live_bytes,
		.stack_bytes = r->stack_bytes,
		.global_bytes = r->global_bytes};
	bool due = r->nfinalizers > 0, open = leaklist_open(&r->list);
	uint64_t objects = 0, bytes = 0;

	if (due)
		finalizer_due(r->finalizer, r->nfinalizers);
	if (open && c->reason != GC_EXIT)
		leaklist_verify(&r->list);
	if (c->leaks && open)
		keep(c); /* it counts what is swept next */
	if (open && c->job.garbage)
		sweep(r, &objects, &bytes);
	count(c, &figures, objects, bytes);
	if (c->reason != GC_EXIT) {
		leak_forget_freed();
		hugepage_mend(MAX((unsigned)MEND,
			(unsigned)(c->cpu_ns / MEND_SHARE / MEND_NS)));
	}
	if (c->job.result)
		leaklist_close(&r->list);
	if (due && gc_hooks.finalizers)
		gc_hooks.finalizers();
}

/* -------- fork -------- */

void gcend_prefork(void)
{
	lock(&results.lock);
}

void gcend_postfork_parent(void)
{
	unlock(&results.lock);
}

/*
 * What the parent found stays the parent's: the list lies in memory that both
 * would share.
 */
void gcend_postfork_child(void)
{
	lock_reinit(&results.lock);
	drop_results();
}
