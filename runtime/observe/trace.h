/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_TRACE_H
#define GOSTAT_OBSERVE_TRACE_H

#include "base/atomics.h"
#include "observe/trace_write.h"

/*
 * Execution traces: what happened when, to be looked at with `go tool trace`
 * or ui.perfetto.dev.
 *
 * Recording. While no trace is being taken each call is one load and a branch.
 * stack is a stacktab id, 0 if there is none at hand. Context: anywhere, signal
 * handlers and stops of the world included; takes no lock.
 */
extern uint32_t trace_active;

static inline bool trace_on(void)
{
	/* relaxed: a few events more or less at the ends of a trace. */
	return unlikely(load_relaxed(&trace_active));
}

/* One event of this thread, now. For the calls below. */
void trace_record(enum trace_type type, uint32_t stack, uint64_t a, uint64_t b);

/* A cycle, from the decision to its last result. */
static inline void trace_gc_start(uint32_t stack)
{
	if (trace_on())
		trace_record(TRACE_GC_START, stack, 0, 0);
}

static inline void trace_gc_done(void)
{
	if (trace_on())
		trace_record(TRACE_GC_DONE, 0, 0, 0);
}

/* The world stands still; one thread says so for all. */
static inline void trace_stw_start(enum trace_stw kind)
{
	if (trace_on())
		trace_record(TRACE_STW_START, 0, kind, 0);
}

static inline void trace_stw_done(void)
{
	if (trace_on())
		trace_record(TRACE_STW_DONE, 0, 0, 0);
}

/* A marker works: the pid of a snapshot, or the tid of one of its threads. */
static inline void trace_mark_start(int id)
{
	if (trace_on())
		trace_record(TRACE_MARK_START, 0, (uint64_t)id, 0);
}

static inline void trace_mark_done(int id)
{
	if (trace_on())
		trace_record(TRACE_MARK_DONE, 0, (uint64_t)id, 0);
}

/* This thread sweeps; bytes looked at, bytes given back. */
static inline void trace_sweep_start(uint32_t stack)
{
	if (trace_on())
		trace_record(TRACE_SWEEP_START, stack, 0, 0);
}

static inline void trace_sweep_done(uint64_t swept, uint64_t reclaimed)
{
	if (trace_on())
		trace_record(TRACE_SWEEP_DONE, 0, swept, reclaimed);
}

/* This thread pays for what it allocates. */
static inline void trace_assist_start(uint32_t stack)
{
	if (trace_on())
		trace_record(TRACE_ASSIST_START, stack, 0, 0);
}

static inline void trace_assist_done(void)
{
	if (trace_on())
		trace_record(TRACE_ASSIST_DONE, 0, 0, 0);
}

/* HeapAlloc, and the size at which the next cycle starts (0: never). */
static inline void trace_heap_alloc(uint64_t bytes)
{
	if (trace_on())
		trace_record(TRACE_HEAP_ALLOC, 0, bytes, 0);
}

static inline void trace_heap_goal(uint64_t bytes)
{
	if (trace_on())
		trace_record(TRACE_HEAP_GOAL, 0, bytes, 0);
}

/* Threads: the maker tells of the new one, each tells of its own end. */
static inline void trace_thread_start(int tid, uint32_t stack)
{
	if (trace_on())
		trace_record(TRACE_THREAD_START, stack, (uint64_t)tid, 0);
}

static inline void trace_thread_end(void)
{
	if (trace_on())
		trace_record(TRACE_THREAD_END, 0, 0, 0);
}

/* This thread waits for something. */
static inline void trace_block(enum trace_block why, uint32_t stack)
{
	if (trace_on())
		trace_record(TRACE_BLOCK, stack, why, 0);
}

static inline void trace_unblock(void)
{
	if (trace_on())
		trace_record(TRACE_UNBLOCK, 0, 0, 0);
}

/*
 * Taking a trace; one at a time. Context: any thread, not in signal handlers.
 *
 * start: 0, EBUSY if one is being taken, ENOMEM.
 * read:  write what was recorded since the last call to out. To be called some
 *        ten times a second: the ring holds TRACE_RING events, and what does
 *        not fit is lost (and counted).
 * stop:  no more recording; write the rest and the end. out == NULL: throw it
 *        away. 0, or ENOMEM if events had to be left out of the file.
 *
 * token tells whose trace it is: read and stop with another one than the
 * present trace's do nothing (and stop returns ESRCH).
 */
enum { TRACE_RING = 16384, TRACE_PERIOD_MS = 100 };

int trace_start(const struct trace_format *format, struct fmt *out,
	uint32_t *token);
void trace_read(uint32_t token, struct fmt *out);
int trace_stop(uint32_t token, struct fmt *out);

/* Events lost since the process started. */
uint64_t trace_dropped(void);

/* Around fork. The child is not traced; its parent's trace goes on. */
void trace_prefork(void);
void trace_parent(void);
void trace_child(void);

#endif
