/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LEAK_H
#define GOSTAT_GC_LEAK_H

#include "gc/mark.h"

/*
 * leak: what a mark has not reached, sorted by the place it has in the leak.
 */
enum leak_kind {
	LEAK_DIRECT,	 /* nothing leaked outside its ring points to it */
	LEAK_INDIRECT,	 /* hangs off a leaked object */
	LEAK_SUPPRESSED, /* a rule says so, of it or of what it hangs off */
	NLEAKKIND
};

/* Which of v's objects are what: areas of the same shape as v->word. */
struct leak_sets {
	uint64_t *reached; /* mark bits when the mark had ended */
	uint64_t *kept;	   /* those, and what is suppressed */
	uint64_t *direct;  /* mark bits: direct; scan bits: for leak.c's use */
	uint64_t *residue; /* for leak.c's use */
	size_t bytes;	   /* of each area */
};

/*
 * Add what the program wants ignored to what is reached: objects allocated
 * with stack OBJINFO_IGNORED, and p[0..n). Comes after marker_roots().
 */
void leak_ignore(struct marker *m, const uintptr_t *p, size_t n);

/*
 * Sort what m has not marked. suppressed(arg, stack) tells if a rule matches
 * the stack; it is called once for each leaked object of which a stack is
 * known. NULL: nothing is suppressed.
 *
 * False: no memory. The bits of the view are used up either way.
 */
bool leak_classify(struct marker *m, struct leak_sets *s,
	bool (*suppressed)(void *arg, uint32_t stack), void *arg);
void leak_sets_free(struct leak_sets *s);

/*
 * The 64 objects of word i of block b: leaked ones, and of these the direct
 * and the suppressed.
 */
struct leak_bits {
	uint64_t leaked, direct, suppressed;
};

static inline struct leak_bits leak_bits(
	const struct leak_sets *s, const struct hv_block *b, unsigned i)
{
	size_t at = b->at + 1 + i;
	uint64_t leaked = ~s->reached[at];

	return (struct leak_bits){
		leaked, s->direct[at] & leaked, s->kept[at] & leaked};
}

#endif
