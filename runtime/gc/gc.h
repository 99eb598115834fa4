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
 * After gc_cycle(GC_EXIT), by the same thread: the process goes on for a while
 * (libc writes out its buffers, or an exec has failed), and so do its threads.
 */
void gc_go_on(void);

/*
 * The same in steps, for a thread that has other things to do: begin, then
 * look until it is no longer GC_RUNNING. When it is GC_ENDED, *error is what
 * gc_cycle() would have returned. Context: as above; always the same thread,
 * with whose end the cycle ends, too.
 */
enum gc_progress {
	GC_BUSY,    /* somebody else's cycle is under way: try again */
	GC_RUNNING, /* the copy marks */
	GC_ENDED,
};
enum gc_progress gc_begin(
	enum gc_reason reason, bool leaks, const char **error);
enum gc_progress gc_look(const char **error);

/*
 * Before exec: end the copy that is marking, if there is one. The new program
 * would have a child that it never made. The cycle counts as aborted. Context:
 * anywhere, handlers and the child of vfork (where it does nothing) included.
 */
void gc_abandon(void);

/*
 * gc_abandon(), and no other cycle stops the threads until the exec has taken
 * place or failed: then the result is given back to gc_exec_failed().
 */
bool gc_preexec(void);
void gc_exec_failed(bool held);

/*
 * What the last cycle with leaks has found; NULL: there was none yet. Stays as
 * it is until gc_leaks_done(), which is to be called in either case.
 */
const struct leaks *gc_leaks(void);
void gc_leaks_done(void);

/* debug.SetGCPercent: old value; negative: off. */
int gc_set_percent(int percent);

/* runtime.GOMAXPROCS, as far as there is one: threads that mark. */
int gc_set_workers(int n);
unsigned gc_workers(enum gc_reason reason);

/* What happens in a cycle, for who draws pictures of it. */
enum gc_event {
	GC_EVENT_START,	 /* a: enum gc_reason */
	GC_EVENT_STOP,	 /* the world is being stopped */
	GC_EVENT_GO,	 /* it goes on, a ns later (or was not stopped) */
	GC_EVENT_MARK,	 /* process a marks */
	GC_EVENT_MARKED, /* process a does not any more */
	GC_EVENT_SWEEP,
	GC_EVENT_SWEPT, /* a bytes looked at, b given back */
	GC_EVENT_GOAL,	/* a: new goal, UINT64_MAX: none */
	GC_EVENT_DONE,
};

/* Upward calls, set by who can serve them; any may be NULL. */
struct gc_hooks {
	/* The heap has reached its goal: have gc_due() called soon. Context:
	 * anywhere in the allocator. */
	void (*request)(void);
	/* finalizer_run() has something to do. */
	void (*finalizers)(void);
	/* A line of text for stderr: gctrace. */
	void (*trace)(const char *line, size_t n);
	/* Takes no lock, allocates nothing. */
	void (*event)(enum gc_event e, uint64_t a, uint64_t b);
};
extern HIDDEN struct gc_hooks gc_hooks;

/*
 * Is a cycle due, and why? *again_ns is when to ask next at the latest
 * (monotonic, INT64_MAX: no need). Context: any thread, no lock held.
 */
bool gc_due(enum gc_reason *reason, int64_t *again_ns);

/* Take the options into account. Before threads exist. */
void gc_init(void);

/* Around fork; outermost, before stw_prefork(). */
void gc_prefork(void);
void gc_postfork_parent(void);
void gc_postfork_child(void);

#endif
