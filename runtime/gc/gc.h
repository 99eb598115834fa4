/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GC_H
#define GOSTAT_GC_GC_H

#include "gc/leakreport.h"

/*
 * gc: one cycle, from the stop of the world to its verdict. See gc.c.
 */
enum gc_reason {
	GC_FORCED,   /* somebody asked */
	GC_HEAP,     /* the heap has reached its goal */
	GC_LIMIT,    /* near GOMEMLIMIT */
	GC_PERIODIC, /* two minutes without one */
	GC_EXIT,     /* the process ends: the world does not go on */
};

/*
 * Run a full cycle; waits while another one runs. With leaks, what was not
 * reached is sorted and kept for gc_leaks().
 *
 * NULL: done. Otherwise why there is no result, in a few words that are valid
 * for ever ("cannot list the threads"); nothing has changed then.
 *
 * Context: any thread, no lock of ours held, not in a signal handler. With
 * GC_EXIT also in one, and the world stays stopped; it may then be called
 * with the allocator interrupted, and says so.
 */
const char *gc_cycle(enum gc_reason reason, bool leaks);

/*
 * What the last cycle with leaks has found; NULL: there was none yet. Stays as
 * it is until gc_leaks_done().
 */
const struct leaks *gc_leaks(void);
void gc_leaks_done(void);

/* debug.SetGCPercent: old value; negative: off. */
int gc_set_percent(int percent);
int gc_percent(void);

/* runtime.GOMAXPROCS, as far as there is one: threads that mark. */
int gc_set_workers(int n);

/* Upward calls, set by who can serve them; any may be NULL. */
struct gc_hooks {
	/* The heap has reached its goal: have gc_poll() called soon. Context:
	 * anywhere in the allocator. */
	void (*request)(void);
	/* finalizer_run() has something to do. */
	void (*finalizers)(void);
	/* A line of text for stderr: gctrace. */
	void (*trace)(const char *line, size_t n);
};
extern HIDDEN struct gc_hooks gc_hooks;

/*
 * Where cycles are run in the background: start one if it is due. Returns the
 * time (monotonic, ns) to call again at the latest; INT64_MAX: no need.
 */
int64_t gc_poll(void);

/* Take the options into account. Before threads exist. */
void gc_init(void);

/* Around fork; outermost, before stw_prefork(). */
void gc_prefork(void);
void gc_postfork_parent(void);
void gc_postfork_child(void);

#endif
