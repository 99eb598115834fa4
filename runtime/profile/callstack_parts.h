/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_CALLSTACK_PARTS_H
#define GOSTAT_PROFILE_CALLSTACK_PARTS_H

#include "profile/callmemo.h"
#include "profile/callstack.h"
#include "profile/stackrange.h"

/*
 * What the files of callstack have in common: what a thread remembers of its
 * stack (callstack.c), and the walk that brings it up to date
 * (callstack_walk.c).
 */

enum {
	/*
	 * A stack deeper than max is walked this much farther, so that it may
	 * shrink by as many frames before it has to be walked again.
	 */
	SLACK = 64,
	MORE = 2 * SLACK, /* frames remembered beyond max */
	OWN = 16,	  /* our own frames, in libunwind's eyes */
};

/* Flags in frame.from, above the address. */
#define FROM_CHECK (1ul << 63) /* ODD, or NEEDS and an address */
#define FROM_ODD (1ul << 62)   /* the step to this frame was not a plain one */
#define FROM_USES (1ul << 61)
#define FROM_NEEDS (1ul << 60)
#define FROM_ADDR(from) ((from) & (FROM_NEEDS - 1))

/* A frame on the way to frame[]. */
struct frame {
	uintptr_t pc, sp, bp;
	uintptr_t from; /* where the step to this frame found bp, and flags */
};

struct callstack {
	/* The caller of the capture in progress; sp 0: there is none. */
	struct unwind_regs busy;
	uint32_t nested;	/* captures since busy was set, see enter() */
	uint32_t rules, ranges; /* epochs that the frames belong to */
	struct stackrange range;
	size_t n;    /* frames */
	bool whole;  /* frame 0 is the outermost one there is */
	size_t base; /* chain[] begins at this frame; SIZE_MAX: nowhere */
	uint32_t generation;
	uint32_t id; /* of frames [base, n) */
	struct callmemo *memo; /* or NULL */
	uint32_t memo_generation;
	size_t memo_max; /* what its ids are for */

	size_t depth; /* the greatest max */
	size_t cap;   /* elements of the arrays below: depth + MORE */

	/* The frames, outermost first; from as in struct frame. */
	uintptr_t *pc, *sp, *bp, *from;
	uint64_t *h; /* stacktab_mix() of the block up to here */
	uint32_t *chain;

	/* Frames with FROM_CHECK, outermost first; and some that had it. */
	uint16_t *check;
	size_t nchecks;

	struct frame *tmp; /* a walk in progress, innermost first */
	uintptr_t *other;  /* a stack by other means */
	void **scratch;	   /* for libunwind: OWN more */
};

/*
 * The id of the innermost max frames of the stack on which r is, and st the
 * frame to begin with; cs remembers what was found. 0: no memory.
 *
 * Context: the owner of cs, which is busy; range fits r, epochs are right.
 */
uint32_t callstack_walk(struct callstack *cs, const struct unwind_state *st,
	const struct unwind_regs *r, size_t max);

#endif
