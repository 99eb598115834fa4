/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_GOROUTINE_H
#define GOSTAT_OBSERVE_GOROUTINE_H

#include "gc/stw.h"
#include "observe/pprof.h"

/*
 * All threads with their stacks, as Go shows its goroutines.
 *
 *	struct goroutines g = GOROUTINES_INIT;
 *
 *	if (goroutines_take(&g, false) == STW_OK)
 *		goroutines_text(out, &g);
 *	goroutines_free(&g);
 */
struct goroutine {
	int tid;
	char name[16];	   /* printable, may be "" */
	const char *state; /* threadstate.h */
	uint32_t first;	   /* frame, in frames */
	uint32_t depth;	   /* frames, at most PPROF_DEPTH_MAX; 0: not known */
	bool whole;	   /* the outermost frame is there */
	uint32_t created;  /* stack id (stacktab.h) that created it, or 0 */
	int creator;	   /* that thread's id */
};

struct goroutines {
	struct grow mem;    /* struct goroutine[n], by tid */
	struct grow frames; /* uintptr_t[], return addresses, innermost first */
	size_t n;
	uint32_t generation; /* of all frames */
	int64_t time_ns;     /* Unix time of the stop */
	int64_t pause_ns;    /* for which threads were at rest, at most */
};

#define GOROUTINES_INIT                                                        \
	{.mem = GROW_INIT(GIB), .frames = GROW_INIT(GIB)}

static inline const struct goroutine *goroutines_at(
	const struct goroutines *g, size_t i)
{
	return (const struct goroutine *)g->mem.p + i;
}

/*
 * Stop the world for a moment. self: the calling thread is one of them, the
 * first. STW_LATE may be tried again. Frames of one thread are of one moment,
 * and of all threads of the same; states are some microseconds older.
 *
 * Context: no lock of ours held, not in a signal handler. 20 microseconds and
 * one for each thread at rest, 50 and 1 for each frame in all.
 */
enum stw_result goroutines_take(struct goroutines *g, bool self);

void goroutines_free(struct goroutines *g);

/* As Go's debug=2, which is what a panic prints: each thread by itself. */
void goroutines_text(struct fmt *out, const struct goroutines *g);

/* As Go's debug=1: equal stacks together. 0 or ENOMEM. */
int goroutines_grouped(struct fmt *out, const struct goroutines *g,
	const struct pprof_options *maps);

/* As Go's debug=0, profile.proto in gzip. 0 or an errno value. */
int goroutines_pprof(struct fmt *out, const struct goroutines *g,
	const struct pprof_options *maps);

/*
 * The calling thread alone, in the format of goroutines_text(): the frames from
 * the caller of gostat_stack() on. Context: not in a signal handler.
 */
void goroutines_self(struct fmt *out);

/*
 * That, or with all every thread, the caller first; if they can't be stopped the
 * caller alone. Context: as goroutines_take().
 */
void goroutines_print(struct fmt *out, bool all);

/* What created threads, in the two formats. 0 or an errno value. */
void threadcreate_text(struct fmt *out, const struct pprof_options *maps);
int threadcreate_pprof(struct fmt *out, const struct pprof_options *maps);

#endif
