/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_OBJINFO_H
#define GOSTAT_ALLOC_OBJINFO_H

#include "alloc/mcache.h"
#include "profile/unwind.h"

/*
 * objinfo: objects of which stack and requested size are known. See objinfo.c.
 */

/*
 * What is done about an object of slot bytes that stands for 1 << shift of its
 * kind, *r being where the allocation function was called: returns the id to
 * remember, 0 for none. And when it is gone again. The defaults, in
 * sampler.c, intern the stack and count it; tests put their own here.
 * Context: the slow paths of malloc and free, no lock held.
 */
struct objinfo_hooks {
	uint32_t (*alloc)(struct mcache *mc, const struct unwind_regs *r,
		size_t slot, unsigned shift);
	void (*free)(uint32_t stack, size_t slot, unsigned shift);
};
extern HIDDEN struct objinfo_hooks objinfo_hooks;

/*
 * Keep the stack of every object from now on: spans get room for it. Before
 * the first allocation, or earlier objects stay unknown.
 */
void objinfo_record_all(void);

/*
 * Under leakcheck. New small objects are zeroed, so that what was there before
 * does not lead anywhere. And entries carry the epoch in place of a shift: it
 * goes up with each fork, so that a child can tell its own objects.
 */
extern HIDDEN bool objinfo_for_leaks;
extern HIDDEN uint8_t objinfo_epoch;
void objinfo_postfork_child(void);

/*
 * Allocate an object for a sample: its free takes the slow path, which finds
 * it again. r: its record; 0: above MAX_RUN. NULL: no memory.
 */
void *objinfo_malloc_sampled(struct mcache *mc, const struct unwind_regs *regs,
	unsigned r, size_t npages, size_t align, size_t size, unsigned shift);

/* p, just allocated for a request of size, in record-all mode. */
void objinfo_record(struct mcache *mc, const struct unwind_regs *regs, void *p,
	size_t size);

/*
 * The slot of p in s, just allocated, holds a request of size bytes. shift < 0:
 * nobody wants its stack.
 */
void objinfo_fill(struct mcache *mc, const struct unwind_regs *regs,
	struct mspan *s, uintptr_t p, size_t size, int shift);

/*
 * Record-all mode counts an object as freed when its slot is used again. Tell
 * the profile of those that are free now, so that it is up to date.
 */
void objinfo_settle(void);

/* Make slot i of s, which has info, OBJINFO_IGNORED until it is freed. */
void objinfo_ignore(struct mspan *s, uint32_t i);

/* Its object resized in place. */
void objinfo_resized(struct mspan *s, uintptr_t p, size_t size);

/*
 * A sampled large object is freed: tell the profile, and make it like others.
 * Of those, a growing buffer finds in the magazine what it has just freed, be it
 * a sample or not: half of all large objects are.
 */
void objinfo_unsample(struct mspan *s);

/* A sampled object is freed: tell the profile, give it back. */
void objinfo_free_sampled(struct mspan *s, uintptr_t p);

/* What is known of slot i of s, or NULL. stack is 0 if nothing is. */
static inline struct objinfo *objinfo_of(const struct mspan *s, uint32_t i)
{
	return s->info ? &s->info[i] : NULL;
}

/* The same of the object at p. */
static inline struct objinfo *objinfo_at(const struct mspan *s, uintptr_t p)
{
	return objinfo_of(
		s, s->state == MSPAN_LARGE ? 0 : mspan_index(s, p));
}

/* Bytes that were asked for. */
static inline size_t objinfo_size(const struct mspan *s,
	const struct objinfo *o)
{
	return mspan_elemsize(s) - o->unused;
}

/*
 * The object at p is what the last words will be about: the stack that follows
 * them can be that of its allocation, too (objinfo_blamed, 0: not known).
 */
void objinfo_blame(const struct mspan *s, uintptr_t p);
extern HIDDEN uint32_t objinfo_blamed;

/* mheap: room for a new span; false: no memory. Under mheap.lock. */
bool objinfo_attach(struct mspan *s);
void objinfo_detach(struct mspan *s);

#endif
