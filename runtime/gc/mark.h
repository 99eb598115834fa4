/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_MARK_H
#define GOSTAT_GC_MARK_H

#include "gc/heapview.h"

/*
 * mark: everything that can be reached. See mark.c for the picture.
 */

enum mark_isa { MARK_SCALAR, MARK_AVX2, MARK_AVX512, MARK_NISA };

struct letgo;

struct mark_options {
	unsigned nworkers; /* threads that mark; 0 counts as 1 */
	bool halves;	   /* words at multiples of four, too */
	bool unaligned;	   /* words at all addresses */
	bool no_mappings;  /* words may lead into the heap only */
	unsigned tag_bits; /* high bits of a word that are no address */
	const struct letgo *gone; /* what there is no need to read, or NULL */
};

enum {
	MARK_BATCH = 64,	/* candidates that are marked at a time */
	MARK_STRIDE = 512,	/* bytes scanned between looks at the batch */
	MARK_AHEAD = 2048,	/* bytes, in what is longer than that */
	MARK_CHUNK = 256 << 10, /* of a large object or root, taken at once */
	/* Also: a few, and twice as many as there are words in an object. */
	MARK_CANDS = MARK_BATCH + MARK_STRIDE / 8 + 8,
	MARK_WORKERS = 64, /* at most */
	MARK_FILTER = 64,  /* words */
};

struct mark_worker;
struct mark_kernel;

struct marker {
	/* Constant while marking. */
	struct heapview *v;
	const struct mark_kernel *kernel;
	struct mark_options o;
	uint64_t word_mask;	  /* what tags leave of a word */
	unsigned step;		  /* bytes from word to word: 8, 4 or 1 */
	uintptr_t map_lo, map_hi; /* around all mappings that are objects */
	uint64_t map_filter[MARK_FILTER]; /* by 2 MiB block, hashed */
	size_t queue_mask;
	struct mark_worker *worker; /* o.nworkers of them */
	uint32_t *queues;	    /* their rings, and shared */
	size_t queue_bytes, worker_bytes;
	int pagemap; /* descriptor, or -1: touch everything */

	/* Written by all workers. */
	uint64_t map_left; /* mappings that are not marked yet */
	uint32_t nidle;

	/* Under share_lock. */
	uint32_t share_lock CACHE_ALIGNED;
	uint32_t *shared; /* a ring of blocks for who has nothing to do */
	size_t shared_head, shared_tail;
	uint32_t root_kinds;
	const struct root_range *root;
	size_t nroots;	    /* left */
	uintptr_t root_off; /* how much of root[0] is taken */
};

/*
 * Get ready to mark in v with all bits as heapview_init() left them, or as
 * another mark did. False: no memory. Context: as heapview_init().
 */
bool marker_init(
	struct marker *m, struct heapview *v, const struct mark_options *o);
void marker_free(struct marker *m);

/* The best loops for this CPU. */
const struct mark_kernel *marker_best(void);

/* Choose the loops; false: this CPU can't run them. The best by default. */
bool marker_use(struct marker *m, enum mark_isa isa);

/*
 * Mark what can be reached from the ranges and words of the view's roots whose
 * kinds are in the set (bits 1 << enum root_kind). With several workers,
 * threads are made by raw clone: only where no other thread of the process
 * runs, nor will (a snapshot's child, the end of the program).
 */
void marker_roots(struct marker *m, uint32_t kinds);

/*
 * Mark one object and note it for marker_drain(). False: it was marked
 * before.
 */
bool marker_add(struct marker *m, struct hv_slot s);

/* The same for all that the words of [lo, hi) lead to. */
void marker_range(struct marker *m, uintptr_t lo, uintptr_t hi);

/* Mark what can be reached from the objects that were added. One thread. */
void marker_drain(struct marker *m);

/*
 * Set the mark bits of everything that the words of an object lead to, and go
 * no further. Between begin and end nothing is queued.
 */
void marker_edges_begin(struct marker *m);
void marker_edges(struct marker *m, const struct hv_block *b, uint32_t slot);
void marker_edges_end(struct marker *m);

/* For tests: run in a thread that sanitizers know. NULL: one of our own. */
extern bool (*mark_thread)(void (*run)(void *), void *arg);

#endif
