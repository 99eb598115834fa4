/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_TRACE_WRITE_H
#define GOSTAT_OBSERVE_TRACE_WRITE_H

#include "observe/intern.h"

/*
 * Trace events to a file format. Whatever comes in (events lost, ends without
 * beginnings, clocks that went back), what goes out is well-formed.
 * Context: one user at a time; no locks, memory of its own.
 */
enum trace_type {
	TRACE_THREAD = 1,   /* tid exists */
	TRACE_THREAD_START, /* tid has made thread a, at stack */
	TRACE_THREAD_END,   /* tid ends */
	TRACE_BLOCK,	    /* tid waits for a: enum trace_block */
	TRACE_UNBLOCK,
	TRACE_GC_START, /* a cycle begins, at stack */
	TRACE_GC_DONE,
	TRACE_STW_START, /* a: enum trace_stw */
	TRACE_STW_DONE,
	TRACE_MARK_START, /* a: process or thread that marks */
	TRACE_MARK_DONE,  /* a: the same */
	TRACE_SWEEP_START,
	TRACE_SWEEP_DONE,   /* a: bytes swept, b: bytes reclaimed */
	TRACE_ASSIST_START, /* the allocating thread helps */
	TRACE_ASSIST_DONE,
	TRACE_HEAP_ALLOC, /* a: HeapAlloc */
	TRACE_HEAP_GOAL,  /* a: the next cycle's trigger; 0: none */
	TRACE_NTYPE
};

enum trace_block { TRACE_BLOCK_LOCK, TRACE_BLOCK_COND, TRACE_BLOCK_NET };

/* Numbers are the format's. */
enum trace_stw { TRACE_STW_MARK_TERMINATION, TRACE_STW_SWEEP_TERMINATION };

struct trace_event {
	int64_t ts; /* ns on any clock */
	uint64_t a, b;
	int32_t tid;
	uint32_t stack; /* for trace_names.frames; 0: none */
	uint16_t type;	/* enum trace_type */
	uint16_t session; /* trace.c */
};

/* Where names come from; every member may be NULL. */
struct trace_names {
	/* Addresses of a stack, innermost first; how many there are. */
	size_t (*frames)(uint32_t stack, uintptr_t *pc, size_t max);
	/* Print the function, or the place, that pc - 1 lies in. */
	void (*place)(struct fmt *f, uint32_t stack, uintptr_t pc);
	/* Print the name of a thread. */
	void (*thread)(struct fmt *f, int tid);
};

/* A thread as the formats know it. */
struct trace_thread {
	int32_t tid;
	bool live;
	bool marker;	       /* not one of the program's */
	enum trace_type doing; /* what it has begun: TRACE_BLOCK,
				  TRACE_SWEEP_START, TRACE_ASSIST_START, 0 */
	uint32_t p;   /* processor: reused */
	uint64_t g;   /* goroutine: 1, 2, ... never reused */
	uint64_t seq; /* of the next state change */
	uint32_t seen; /* census that it was last seen in */
};

struct trace_writer {
	struct fmt *out; /* set it before each call */
	const struct trace_format *format;
	const struct trace_names *names;
	bool no_memory;

	/* trace_write.c */
	struct grow threads; /* struct trace_thread[] */
	int64_t last_ts;
	uint64_t ngoroutines;
	uint32_t nprocs;
	uint32_t census;
	bool in_gc, in_stw;

	/* The formats. */
	struct intern strings, stacks;
	int64_t batch_ts;
	uint32_t batch_p;
	uint64_t cycles;
	uint64_t heap_alloc, heap_goal;
	bool comma;
};

/*
 * A format. thread: a new one, running from ts on; its name is made of its
 * tid. event: type is one that tid and the process can have at this point.
 */
struct trace_format {
	void (*head)(struct trace_writer *w);
	void (*thread)(struct trace_writer *w, struct trace_thread *t,
		int64_t ts);
	void (*event)(struct trace_writer *w, struct trace_thread *t,
		const struct trace_event *e);
	void (*tail)(struct trace_writer *w);
};

/* For formats: print what a thread is called; something always is. */
void trace_write_name(const struct trace_writer *w,
	const struct trace_thread *t, struct fmt *f);

extern const struct trace_format trace_format_go; /* `go tool trace` */
extern const struct trace_format trace_format_perfetto; /* ui.perfetto.dev */

/* Begin a file; w may be anything before. */
void trace_write_begin(struct trace_writer *w, struct fmt *out,
	const struct trace_format *format, const struct trace_names *names);

void trace_write(struct trace_writer *w, const struct trace_event *e);

/*
 * Which threads there are at ts: call the first for each of them, then the
 * second. Who is new is introduced, who is gone has ended.
 */
void trace_write_seen(struct trace_writer *w, int32_t tid, int64_t ts);
void trace_write_census(struct trace_writer *w, int64_t ts);

/* Has tid done something that was written? */
bool trace_write_knows(const struct trace_writer *w, int32_t tid);

/*
 * Write the end (unless out is NULL) and give memory back. 0, or ENOMEM if
 * something had to be left out.
 */
int trace_write_end(struct trace_writer *w);

#endif
