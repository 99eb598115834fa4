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
#include "os/sysmem.h"

#include <string.h>

enum { CHUNK = 256 << 10 };

struct objinfo_hooks objinfo_hooks;

/* Arrays by size class: they have the length of the class's spans. */
static struct arrays {
	void *free[NSIZECLASS]; /* linked through the first word */
	char *chunk;
	size_t room;
} arrays;

bool objinfo_attach(struct mspan *s)
{
	size_t bytes = s->nelems * sizeof(struct objinfo);
	void *p = arrays.free[s->sizeclass];

	if (!s->sampled && !mheap.record_objects)
		return true;
	if (s->state == MSPAN_LARGE) {
		s->one = (struct objinfo){0, 0};
		s->info = &s->one;
		return true;
	}
	if (p) {
		arrays.free[s->sizeclass] = *(void **)p;
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

void objinfo_detach(struct mspan *s)
{
	if (s->info && s->state == MSPAN_SMALL) {
		*(void **)s->info = arrays.free[s->sizeclass];
		arrays.free[s->sizeclass] = s->info;
	}
	s->info = NULL;
}

void objinfo_record_all(void)
{
	mheap.record_objects = true;
}

static void fill(struct mspan *s, uint32_t i, size_t size)
{
	struct objinfo *o = objinfo_of(s, i);
	size_t slot = mspan_elemsize(s);

	if (!o)
		return;
	o->unused = (uint32_t)(slot - size);
	store_relaxed(&o->stack,
		objinfo_hooks.alloc ? objinfo_hooks.alloc(size, slot) : 0);
}

void *objinfo_malloc_sampled(unsigned r, size_t npages, size_t align,
	size_t size)
{
	struct mspan *s;
	uint32_t i = 0;
	void *p;

	if (r != 0 && r < NSIZECLASS) {
		p = mcentral_take_sampled(r, &s, &i);
		if (!p)
			return NULL;
	} else {
		s = mheap_alloc_large(npages, align, true);
		if (!s)
			return NULL;
		p = (void *)s->base;
	}
	fill(s, i, size);
	return p;
}

static uint32_t slot(const struct mspan *s, uintptr_t p)
{
	return s->state == MSPAN_LARGE ? 0 : mspan_index(s, p);
}

void objinfo_record(void *ptr, size_t size)
{
	struct mspan *s = arena_span((uintptr_t)ptr);

	fill(s, slot(s, (uintptr_t)ptr), size);
}

void objinfo_resized(struct mspan *s, uintptr_t p, size_t size)
{
	struct objinfo *o = objinfo_of(s, slot(s, p));

	if (o)
		o->unused = (uint32_t)(mspan_elemsize(s) - size);
}

void objinfo_free_sampled(struct mspan *s, uintptr_t p)
{
	struct objinfo *o = objinfo_of(s, slot(s, p));
	uint32_t stack = o->stack;

	store_relaxed(&o->stack, 0);
	if (stack && objinfo_hooks.free)
		objinfo_hooks.free(stack, mspan_elemsize(s));
	if (s->state == MSPAN_LARGE)
		mheap_free_span(s);
	else
		mcentral_put(s, p);
}
