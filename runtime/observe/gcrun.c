/* SPDX-License-Identifier: MIT */
/*
 * gcrun: who wants a cycle, and when it is run.
 *
 *	malloc: goal reached ──┐
 *	signal: gc, leaks ─────┼─▶ wanted ──▶ step() on the helper
 *	routes: POST /gc, ... ─┘               │  begin, look, look, ... ended
 *	                                       └▶ reports, tickets, next timer
 *
 * While the copy marks, the helper serves its sockets and looks in from time to
 * time: after an eighth of the time that it has taken so far, so that the end is
 * seen soon in proportion. A wish that arrives meanwhile is for the next cycle:
 * what it asks about may have happened after the snapshot.
 *
 * gostat_gc() does not come here: the caller waits anyway, and runs the cycle
 * itself. If it is at it, we try again a little later.
 *
 * A handler of a signal can't run a cycle (it may have interrupted anything), so
 * it leaves its wish and wakes the helper, which exists since main if
 * GOSTAT_SIGNAL names such an action: a handler can't start a thread either.
 *
 * Locks: none; wanted is a word, the rest is the helper's own.
 */
#include "observe/gcrun.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "base/options.h"
#include "gc/gc.h"
#include "gc/gcstats.h"
#include "observe/dump.h"
#include "observe/finalthread.h"
#include "observe/gcreport.h"
#include "observe/helper.h"
#include "observe/routes.h"
#include "observe/trace.h"
#include "os/clock.h"
#include "os/syscall.h"

#include <string.h>
#include <unistd.h>

enum {
	WANT_CYCLE = 1 << 0,
	WANT_LEAKS = 1 << 1,  /* ... and to know what was found */
	WANT_REPORT = 1 << 2, /* ... and to have it written */
	WANT_DUE = 1 << 3,    /* one if it is due */
};

enum {
	LOOK_MIN_NS = 200000,
	LOOK_MAX_NS = 5000000,
	BUSY_NS = 2000000,
	SHARE = 8, /* of the time so far, until the next look */
};

static void step(void *arg);

static struct {
	uint32_t wanted;
	bool running;
	uint32_t serving; /* the wishes that the running cycle is for */
	int64_t begun_ns;
	uint64_t begun, done; /* cycles */
	const char *error;    /* of the last one */
	struct helper_work work;
	struct helper_timer timer;

	bool at_end;	/* of the process */
	bool end_cycle; /* one has been run there */

	/* Of the last leaks that were asked for. */
	uint64_t report_number;
	const char *report_suffix;

	/* Single writer: who runs a cycle. */
	uint64_t pauses[METRICS_NPAUSE + 1];
	uint64_t pause_total_ns;
} run = {.work = {.fn = step}, .timer = {.fn = step}};

static void want(uint32_t wishes)
{
	or_relaxed(&run.wanted, wishes);
	helper_post(&run.work);
}

static void again(int64_t at_ns)
{
	helper_timer_set(&run.timer, at_ns);
}

/* -------- a cycle in steps -------- */

static void ended(const char *error)
{
	run.running = false;
	run.error = error;
	run.done = run.begun;
	if (error && options->verbose)
		warn("cycle: %s", error);
	if (run.serving & WANT_REPORT)
		gcreport_dump(error, run.report_number, run.report_suffix);
	want(WANT_DUE); /* also sets the timer */
}

static void look(void)
{
	const char *error = NULL;
	int64_t now = clock_mono_ns();

	if (gc_look(&error) == GC_RUNNING)
		again(now + MIN(MAX((now - run.begun_ns) / SHARE,
					(int64_t)LOOK_MIN_NS),
				    (int64_t)LOOK_MAX_NS));
	else
		ended(error);
}

static bool choose(uint32_t wishes, enum gc_reason *reason)
{
	int64_t next = INT64_MAX;
	bool due;

	*reason = GC_FORCED;
	if (wishes & WANT_CYCLE)
		return true;
	due = gc_due(reason, &next);
	if (!due && next != INT64_MAX)
		again(next);
	return due;
}

static void begin(void)
{
	uint32_t wishes = xchg_relaxed(&run.wanted, 0);
	const char *error = NULL;
	enum gc_reason reason;

	if (!choose(wishes, &reason))
		return;
	run.serving = wishes;
	run.begun_ns = clock_mono_ns();
	switch (gc_begin(reason,
		wishes & WANT_LEAKS || options->gc == GC_REPORT, &error)) {
	case GC_BUSY:
		or_relaxed(&run.wanted, wishes);
		again(run.begun_ns + BUSY_NS);
		break;
	case GC_RUNNING:
		run.begun++;
		run.running = true;
		again(run.begun_ns + LOOK_MIN_NS);
		break;
	case GC_ENDED:
		run.begun++;
		ended(error);
	}
}

static void step(void *arg UNUSED)
{
	if (run.running)
		look();
	else
		begin();
}

uint64_t gcrun_ask(bool leaks)
{
	want(leaks ? WANT_CYCLE | WANT_LEAKS : WANT_CYCLE);
	return run.begun + 1;
}

bool gcrun_done(uint64_t ticket)
{
	return run.done >= ticket;
}

const char *gcrun_error(void)
{
	return run.error;
}

/* -------- actions -------- */

/* The end of the process: here and now. */
static void cycle_at_end(void)
{
	if (!run.end_cycle)
		run.error = gc_cycle(GC_FORCED, true);
	run.end_cycle = true;
}

static bool no_helper(const char *action)
{
	if (helper_tid())
		return false;
	warn("action %s: there is no thread to run a cycle", action);
	return true;
}

static void on_gc(void)
{
	if (run.at_end)
		cycle_at_end();
	else if (dump_with(ACTION_LEAKS))
		; /* which is a cycle, too */
	else if (!no_helper("gc"))
		want(WANT_CYCLE);
}

static void on_leaks(void)
{
	run.report_suffix = dump_name(ACTION_LEAKS, &run.report_number);
	if (run.at_end) {
		cycle_at_end();
		gcreport_dump(run.error, run.report_number,
			run.report_suffix);
	} else if (!no_helper("leaks")) {
		want(WANT_CYCLE | WANT_LEAKS | WANT_REPORT);
	}
}

void gcrun_at_end(void)
{
	run.at_end = true;
}

/* -------- what cycles tell -------- */

static void on_trace(const char *line, size_t n)
{
	sys3(SYS_write, STDERR_FILENO, line, n);
}

static void count_pause(uint64_t ns)
{
	own_add(&run.pauses[metrics_pause_bucket(ns)], 1);
	own_add(&run.pause_total_ns, ns);
}

static void on_event(enum gc_event e, uint64_t a, uint64_t b)
{
	switch (e) {
	case GC_EVENT_START:
		trace_gc_start(0);
		break;
	case GC_EVENT_STOP:
		trace_stw_start(TRACE_STW_SWEEP_TERMINATION);
		break;
	case GC_EVENT_GO:
		trace_stw_done();
		if (a)
			count_pause(a);
		break;
	case GC_EVENT_MARK:
		trace_mark_start((int)a);
		break;
	case GC_EVENT_MARKED:
		trace_mark_done((int)a);
		break;
	case GC_EVENT_SWEEP:
		trace_sweep_start(0);
		break;
	case GC_EVENT_SWEPT:
		trace_sweep_done(a, b);
		break;
	case GC_EVENT_GOAL:
		trace_heap_goal(a == UINT64_MAX ? 0 : a);
		break;
	case GC_EVENT_DONE:
		trace_gc_done();
		break;
	}
}

void gcrun_metrics(struct metrics *m)
{
	struct gcstats s;

	gcstats_read(&s);
	m->leaked_objects = s.leaked_objects;
	m->leaked_bytes = s.leaked_bytes;
	for (unsigned r = 0; r < METRICS_NREASON; r++) {
		for (unsigned o = 0; o < METRICS_NOUTCOME; o++)
			m->cycles[r][o] = s.cycles[r][o];
		m->snapshots_aborted += s.cycles[r][GC_ABORTED];
	}
	for (unsigned i = 0; i <= METRICS_NPAUSE; i++)
		m->pauses[i] = load_relaxed(&run.pauses[i]);
	m->pause_total_ns = load_relaxed(&run.pause_total_ns);
}

/* -------- life -------- */

static uint64_t start_for_route(void)
{
	return gcrun_ask(options->gc == GC_REPORT);
}

AT_START void gcrun_init(void)
{
	_Static_assert((int)METRICS_PERIODIC == (int)GC_PERIODIC, "order");
	_Static_assert((int)METRICS_REFUSED == (int)GC_REFUSED, "order");
	gc_hooks.request = gcrun_look;
	gc_hooks.finalizers = finalthread_wake;
	gc_hooks.trace = on_trace;
	gc_hooks.event = on_event;
	dump_hook(ACTION_GC, on_gc);
	dump_hook(ACTION_LEAKS, on_leaks);
	sources.set_gogc = gc_set_percent;
	sources.gc_start = start_for_route;
	sources.gc_done = gcrun_done;
	sources.metrics = gcrun_metrics;
}

/* Of GOSTAT_SIGNAL; the helper carries them out. */
static bool signals_ask(void)
{
	uint32_t actions = 0;

	for (unsigned i = 0; i < options->signal.n; i++)
		actions |= options->signal.of[i].actions;
	return actions & (ACTION_GC | ACTION_LEAKS);
}

bool gcrun_needed(void)
{
	if (options->gc == GC_OFF)
		return false;
	return options->gogc >= 0 || options->gc == GC_RECLAIM || signals_ask();
}

void gcrun_look(void)
{
	want(WANT_DUE);
}

/* Is nobody told of cycles? */
static bool silent(void)
{
	const struct godebug *d = &options->godebug;

	return !d->gctrace && !d->scavtrace && !options->verbose &&
	       !options->oom_dump && !options->warn_heap && !signals_ask();
}

static bool start(void)
{
	return silent() ? helper_start_apart() : helper_start();
}

bool gcrun_start(void)
{
	if (!start())
		return false;
	gcrun_look();
	return true;
}

bool gcrun_pause(void)
{
	const char *error;

	if (!helper_pause())
		return false;
	if (run.running) {
		gc_abandon();
		while (gc_look(&error) == GC_RUNNING)
			sys0(SYS_sched_yield);
		ended(error);
	}
	return true;
}

void gcrun_resume(void)
{
	if (start())
		gcrun_look();
}

void gcrun_fork_child(void)
{
	run.wanted = 0;
	run.running = false;
	run.done = run.begun;
	run.error = NULL;
	memset(run.pauses, 0, sizeof(run.pauses));
	run.pause_total_ns = 0;
}
