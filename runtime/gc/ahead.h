/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_AHEAD_H
#define GOSTAT_GC_AHEAD_H

#include "gc/mark.h"
#include "os/sysmem.h"
#include "os/writetrack.h"

/*
 * ahead: most of the marking is done before the world stops, where no copy of
 * the process can be made. See ahead.c for the picture.
 *
 *	stw_stop(w)		a short stop
 *	ahead_open(a)		can writes be tracked?
 *	why = ahead_begin(a, roots, w, o)
 *	stw_start(w)
 *	while (!ahead_mark(a, until))	the program runs
 *		;
 *	stw_stop(w)		the one that counts
 *	heapview_init(v) ... marker_init(m, v)
 *	ahead_carry(a, m)	what is known already
 *	marker_roots(m) ...	as if nothing had been known
 *	stw_start(w)
 *	ahead_end(a)
 */
struct ahead_options {
	struct mark_options mark;
	uint32_t root_kinds;
	bool mappings_live; /* all mappings are roots */
	uint64_t calm; /* bytes written that are no reason for a new round */
};

/* A stretch of memory that is being read, a piece at a time. */
struct ahead_stretch {
	uintptr_t lo, hi;
	uint32_t block; /* of the large object that it is, or 0 */
	bool code;
};

struct ahead {
	bool on;	   /* from a successful ahead_open() to ahead_end() */
	const char *error; /* why ahead_mark() has given up; a static string */
	struct writetrack track;
	struct rootset roots; /* as they were at the first stop */
	struct heapview v;    /* of slots, free ones too; and of free pages */
	struct marker m;
	uint64_t *was;	   /* v.word at the start; scan bits: all but objects */
	uint64_t *written; /* bits, one for each OS_PAGE of v's range */
	size_t written_bytes;
	char *buf; /* twice AHEAD_BUF */
	struct ahead_options o;

	/* How far ahead_mark() has got. */
	uintptr_t watch, watch_end;
	bool watched; /* at least a part of the heap */
	bool added;   /* words among the roots, mappings that are roots */
	size_t root;  /* ranges are next */
	uint32_t piece, piece_end; /* of the mapping that is being read */
	struct ahead_stretch now;
	unsigned round; /* 0: all; then what was written meanwhile */

	uint64_t left; /* bytes written at the end of the last round */
	int64_t cpu_ns;
};

/* Context: the world is stopped. */
enum writetrack_result ahead_open(struct ahead *a);

/*
 * Take stock: what is where, and from where is it reached. Takes the tables of
 * roots away from *rs (after roots_freeze()), in any case. NULL, or why that
 * has failed: a static string; ahead_end() is called for then. w NULL: *rs is
 * complete already. Context: as above.
 */
const char *ahead_begin(struct ahead *a, struct rootset *rs,
	const struct stw *w, const struct ahead_options *o);

/*
 * Mark until it is done or until_ns (monotonic), but a little; true: done, or
 * a->error is set. The world runs. Context: no lock held, always the same
 * thread.
 */
bool ahead_mark(struct ahead *a, int64_t until_ns);

/*
 * Tell m, fresh from marker_init(), what need not be looked at any more. The
 * world is stopped and m's view is of now.
 */
void ahead_carry(struct ahead *a, struct marker *m);

/* Give everything back, if there is anything. forked: in the child of a fork.
 */
void ahead_end(struct ahead *a, bool forked);

/* -------- between the files of ahead -------- */

enum { AHEAD_BUF = 256 << 10 }; /* bytes that are read at once */

/* Set bit k of a->written for each page k that does not count as the same. */
bool ahead_ask(struct ahead *a);

/* Where the span of a block ended: spans of a class differ in length. */
static inline uintptr_t ahead_span_end(const struct heapview *v, uint32_t block)
{
	size_t page = v->word[block] >> HV_HEAD_PAGE;

	while (page < v->npages && v->page[page] >> HV_BLOCK_SHIFT == block)
		page++;
	return v->base + (page << PAGE_SHIFT);
}

static inline bool ahead_written(
	const struct ahead *a, uintptr_t lo, uintptr_t hi)
{
	size_t i = (lo - a->v.base) / OS_PAGE;
	size_t end = (hi - 1 - a->v.base) / OS_PAGE;

	for (end = MIN(end, a->written_bytes * 8 - 1); i <= end; i++)
		if (a->written[i / 64] >> i % 64 & 1)
			return true;
	return false;
}

#endif
