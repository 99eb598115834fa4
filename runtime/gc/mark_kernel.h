/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_MARK_KERNEL_H
#define GOSTAT_GC_MARK_KERNEL_H

#include "gc/mark.h"
#include "base/atomics.h"

/* What the inner loops (mark_loop.h) and mark.c know of each other. */

/* Stacks and heap hold what sanitizers call poisoned; reading it is the job. */
#define RAW_MEMORY                                                             \
	__attribute__((no_sanitize("address", "thread", "undefined")))

/* The words w of interest: (w & mask) - lo < range. */
struct filter {
	uint64_t mask, lo, range;
};

/* Of a word of interest: ((upper half & mask) - lo) <= last. */
struct filter_upper {
	uint32_t mask, lo, last;
};

static ALWAYS_INLINE struct filter_upper filter_upper(struct filter f)
{
	uint32_t lo = (uint32_t)(f.lo >> 32);

	return (struct filter_upper){(uint32_t)(f.mask >> 32), lo,
		(uint32_t)((f.lo + f.range - 1) >> 32) - lo};
}

/*
 * In what is longer than MARK_AHEAD, memory is asked for that far ahead: the
 * hardware alone keeps fewer lines on their way than there is room for. Into
 * the second-level cache, for the first is small and the words come once.
 */
static ALWAYS_INLINE void mark_ahead(uintptr_t p)
{
	__builtin_prefetch((const void *)(p + MARK_AHEAD), 0, 2);
}

/* The inner loops for one kind of CPU: mark_scalar.c and others. */
struct mark_kernel {
	const char *name;
	/*
	 * No word at a multiple of four is of interest whose upper half lies in
	 * [lo, hi), whole pages.
	 */
	bool (*clear)(struct filter f, uintptr_t lo, uintptr_t hi);
	/* Look at the words of [lo, hi); what they lead to is queued. */
	void (*scan)(struct mark_worker *w, uintptr_t lo, uintptr_t hi);
	/* Work until w's queue is empty. */
	void (*drain)(struct mark_worker *w);
	/* The same where several threads mark. */
	void (*scan_mt)(struct mark_worker *w, uintptr_t lo, uintptr_t hi);
	void (*drain_mt)(struct mark_worker *w);
	/*
	 * Empty the vector registers. They hold words of the heap, and the
	 * program may go on with them: ld.so saves them on its stack when a
	 * function is called for the first time, where the next cycle looks.
	 */
	void (*wipe)(void);
};

extern HIDDEN const struct mark_kernel mark_scalar, mark_avx2, mark_avx512;

/* What one thread has in hand. */
struct mark_worker {
	struct marker *m;
	uint32_t *queue; /* of blocks: a ring, a block is in it once at most */
	size_t head, tail;
	unsigned n, nfar;
	/* Words that may be addresses: less v->base; and as they are. */
	uint64_t cand[MARK_CANDS], far[MARK_CANDS];
} CACHE_ALIGNED;

/*
 * Cut [lo, hi) down to its first run of pages that have memory. False: there
 * is none. Without a pagemap to ask, everything counts.
 */
bool mark_resident(const struct marker *m, uintptr_t *lo, uintptr_t *hi);

/* At the start: the filter of mappings, and the file to ask about pages. */
void mark_init_maps(struct marker *m);
void mark_open_pagemap(struct marker *m);

/* Unless the block waits already. */
void mark_queue_block(struct mark_worker *w, uint32_t block);

/* Scan what has memory of [lo, hi), at most MARK_CHUNK bytes. */
void mark_scan_resident(struct mark_worker *w, uintptr_t lo, uintptr_t hi);

/* Look the words of w->far up among the mappings; queue what they reach. */
void mark_far(struct mark_worker *w);

/* Scan the mapping that is block; w's fields are up to date before and after.
 */
void mark_scan_mapping(struct mark_worker *w, uint32_t block);

/* Some worker has nothing to do: give away half of the queue. */
void mark_share(struct mark_worker *w);

#endif
