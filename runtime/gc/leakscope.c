/* SPDX-License-Identifier: MIT */
/*
 * leakscope: what the program says is no leak.
 *
 * Where the object's span keeps an entry for each object, the entry says so:
 * it is written anew when the slot is used again, and the mark is gone then.
 * Elsewhere a table remembers the address, with the serial number of the span;
 * it may outlive the object until its span goes, or somebody asks
 * leak_forget_freed().
 *
 * In a scope every malloc of the thread takes the slow path (tick_ignoring())
 * and is given an entry, so that what was allocated there stays known.
 *
 * Lock: table.lock. A cycle holds it over the stop of the world, so that the
 * copy never sees half a table.
 */
#include "gc/leakscope.h"
#include "alloc/arena.h"
#include "alloc/objinfo.h"
#include "alloc/tick.h"
#include "gc/gctables.h"
#include "gc/ptrmap.h"

static struct ptrmap ignored; /* object -> serial of its span */

/* The slot of span s that holds p; false: the tail, or a free slot. */
static bool slot_of(const struct mspan *s, uintptr_t p, uint32_t *slot)
{
	*slot = s->state == MSPAN_SMALL ? mspan_index(s, p) : 0;
	if (s->state == MSPAN_LARGE)
		return true;
	return s->state == MSPAN_SMALL && *slot < s->nelems &&
	       !mspan_isfree(s, *slot);
}

void leak_ignore_object(const void *p)
{
	struct mspan *s = arena_span((uintptr_t)p);
	uint32_t slot;

	if (!s || !slot_of(s, (uintptr_t)p, &slot))
		return;
	if (s->info) {
		objinfo_ignore(s, slot);
		return;
	}
	gctables_lock();
	ptrmap_put(&ignored, s->base + (uintptr_t)slot * s->elemsize_small,
		s->serial);
	gctables_unlock();
}

void leak_disable(void)
{
	struct mcache *mc = mcache_get();

	if (!mc)
		return;
	mc->ignoring++;
	tick_ignoring(mc);
	mcache_put(mc);
}

void leak_enable(void)
{
	struct mcache *mc = mcache_get();

	if (!mc)
		return;
	if (mc->ignoring)
		mc->ignoring--;
	mcache_put(mc);
}

size_t leak_ignored(uintptr_t *p, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < ignored.cap && n < max; i++) {
		const struct ptrmap_entry *e = &ignored.slot[i];
		const struct mspan *s = e->key ? arena_span(e->key) : NULL;

		if (s && s->serial == (uint32_t)e->value)
			p[n++] = e->key;
	}
	return n;
}

size_t leak_ignored_count(void)
{
	return ignored.n;
}

void leak_forget_freed(void)
{
	gctables_lock();
	for (size_t i = 0; i < ignored.cap;) {
		struct ptrmap_entry e = ignored.slot[i];
		const struct mspan *s = e.key ? arena_span(e.key) : NULL;
		uint32_t slot;

		if (e.key && (!s || s->serial != (uint32_t)e.value ||
				     !slot_of(s, e.key, &slot)))
			ptrmap_remove(&ignored, e.key); /* fills this place */
		else
			i++;
	}
	gctables_unlock();
}
