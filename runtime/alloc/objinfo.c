/* SPDX-License-Identifier: MIT */
/*
 * objinfo: objects of which allocation stack and requested size are known.
 *
 * Two ways, by the sample rate:
 *
 *	sampled     one object in many. It comes from a span whose page codes
 *	            are 0, so that its free, and no other, takes the slow path
 *	            and finds the entry: info[slot] = {stack, unused}
 *	record all  every object (rate 1, leakcheck). Spans are ordinary, each
 *	            has an info array; malloc always ticks and fills it in, free
 *	            stays on the hit path: an entry is true as long as its slot
 *	            is out, and is written anew when the slot is used again
 *
 * Large spans hold their single entry in the descriptor.
 *
 * Invariants:
 *   O1  a sampled span has info; in record-all mode every span has that was
 *       made since;
 *   O2  stack is 0 in entries of a sampled span whose slot is free.
 *
 * Locks: arrays come and go with their spans, under mheap.lock; an entry
 * belongs to the owner of the object.
 */
#include "alloc/objinfo.h"
#include "alloc/arena.h"
#include "alloc/mcentral.h"
#include "alloc/sampler.h"
#include "base/lock.h"
#include "os/sysmem.h"

#include <string.h>

enum { CHUNK = 256 << 10 };

bool objinfo_for_leaks;
uint8_t objinfo_epoch;

struct objinfo_hooks objinfo_hooks = {sampler_alloc, sampler_free};

/* Arrays by length in eights of entries. */
static struct arrays {
	void *free[MAX_SLOTS / 8 + 1]; /* linked through the first word */
	char *chunk;
	size_t room;
} arrays;

bool objinfo_attach(struct mspan *s)
{
	size_t eights = (s->nelems + 7) / 8;
	size_t bytes = eights * 8 * sizeof(struct objinfo);
	void *p = arrays.free[eights];

	if (!s->sampled && !mheap.record_objects)
		return true;
	if (s->state == MSPAN_LARGE) {
		s->one = (struct objinfo){0};
		s->info = &s->one;
		return true;
	}
	if (p) {
		arrays.free[eights] = *(void **)p;
	} else {
		if (arrays.room < bytes) {
			char *c = sysmem_map(NULL, CHUNK, SYS_OTHER);

			if (!c)
				return false;
			arrays.chunk = c;
			arrays.room = CHUNK;
		}
		p = arrays.chunk;
		arrays.chunk += bytes;
		arrays.room -= bytes;
	}
	memset(p, 0, bytes);
	s->info = p;
	return true;
}

/* Whatever was in slot i was freed. */
static void gone(struct mspan *s, uint32_t i)
{
	uint32_t stack = xchg_relaxed(&s->info[i].stack, 0);

	if (stack)
		objinfo_hooks.free(
			stack, mspan_elemsize(s), s->info[i].shift);
}

void objinfo_detach(struct mspan *s)
{
	if (s->info && !s->sampled)
		for (uint32_t i = 0; i < s->nelems; i++)
			gone(s, i);
	if (s->info && s->state == MSPAN_SMALL) {
		*(void **)s->info = arrays.free[(s->nelems + 7) / 8];
		arrays.free[(s->nelems + 7) / 8] = s->info;
	}
	s->info = NULL;
}

void objinfo_postfork_child(void)
{
	if (objinfo_for_leaks && objinfo_epoch < UINT8_MAX)
		objinfo_epoch++;
}

void objinfo_record_all(void)
{
	mheap.record_objects = true;
}

void objinfo_fill(struct mcache *mc, const struct unwind_regs *regs,
	struct mspan *s, uintptr_t p, size_t size, int shift)
{
	struct objinfo *o = objinfo_at(s, p);
	size_t slot = mspan_elemsize(s);

	if (!o)
		return;
	if (o->stack) /* the slot's last object, freed on the hit path */
		objinfo_hooks.free(o->stack, slot, o->shift);
	o->unused = (slot - size) & 0xffffff;
	o->shift = ((unsigned)MAX(shift, 0) + objinfo_epoch) & 0xff;
	store_relaxed(&o->stack,
		shift < 0 ? 0
			  : objinfo_hooks.alloc(mc, regs, slot, (unsigned)shift));
}

uint32_t objinfo_blamed;

void objinfo_blame(const struct mspan *s, uintptr_t p)
{
	const struct objinfo *o = objinfo_at(s, p);

	objinfo_blamed = o ? load_relaxed(&o->stack) : 0;
	if (objinfo_blamed == OBJINFO_IGNORED)
		objinfo_blamed = 0;
}

/* The large object on top of its magazine, or a new one. NULL: no memory. */
static struct mspan *take_large(
	struct mcache *mc, unsigned r, size_t npages, size_t align)
{
	struct mcache_rec *rec = &mc->rec[r];
	struct mspan *s;

	if (r == 0 || align != 1 || !*rec->top)
		return mheap_alloc_large(npages, align, true);
	s = arena_span((uintptr_t)*rec->top);
	store_relaxed(&rec->top, rec->top - 1);
	s->zeroed = false;
	mheap_set_sampled(s, true);
	return s;
}

void *objinfo_malloc_sampled(struct mcache *mc, const struct unwind_regs *regs,
	unsigned r, size_t npages, size_t align, size_t size, unsigned shift)
{
	struct mspan *s;
	uint32_t i = 0;
	void *p;

	if (r != 0 && r < NSIZECLASS) {
		p = mcentral_take_sampled(r, &s, &i);
		if (!p)
			return NULL;
	} else {
		s = take_large(mc, r, npages, align);
		if (!s)
			return NULL;
		p = (void *)s->base;
	}
	objinfo_fill(mc, regs, s, (uintptr_t)p, size, (int)shift);
	return p;
}

void objinfo_ignore(struct mspan *s, uint32_t i)
{
	uint32_t old = xchg_relaxed(&s->info[i].stack, OBJINFO_IGNORED);

	if (old)
		objinfo_hooks.free(old, mspan_elemsize(s), s->info[i].shift);
}

void objinfo_record(struct mcache *mc, const struct unwind_regs *regs,
	void *ptr, size_t size)
{
	struct mspan *s = arena_span((uintptr_t)ptr);

	objinfo_fill(mc, regs, s, (uintptr_t)ptr, size, 0);
	if (objinfo_for_leaks && s->state == MSPAN_SMALL)
		memset(ptr, 0, s->elemsize_small);
}

void objinfo_resized(struct mspan *s, uintptr_t p, size_t size)
{
	struct objinfo *o = objinfo_at(s, p);

	if (o)
		o->unused = (mspan_elemsize(s) - size) & 0xffffff;
}

static void forget(struct mspan *s, uintptr_t p)
{
	struct objinfo *o = objinfo_at(s, p);
	uint32_t stack = o->stack;

	store_relaxed(&o->stack, 0);
	if (stack)
		objinfo_hooks.free(stack, mspan_elemsize(s), o->shift);
}

void objinfo_unsample(struct mspan *s)
{
	forget(s, s->base);
	mheap_set_sampled(s, false);
}

void objinfo_free_sampled(struct mspan *s, uintptr_t p)
{
	forget(s, p);
	if (s->state == MSPAN_LARGE)
		mheap_free_span(s);
	else
		mcentral_put(s, p);
}

/* Free slots of one span; a slot that is taken meanwhile is not free. */
static void settle(struct mspan *s)
{
	struct lock *l = &mcentral[0][s->sizeclass].lock;

	if (s->state != MSPAN_SMALL || s->sampled || !s->info)
		return;
	lock(l);
	for (uint32_t i = 0; s->state == MSPAN_SMALL && i < s->nelems; i++)
		if (mspan_isfree(s, i))
			gone(s, i);
	unlock(l);
}

void objinfo_settle(void)
{
	if (!mheap.record_objects)
		return;
	for (size_t page = 0; page < window_npages; page++) {
		struct mspan *s = arena_span(arena_addr(page));

		if (s && s->base == arena_addr(page))
			settle(s);
	}
}
