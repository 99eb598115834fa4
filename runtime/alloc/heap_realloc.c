/* SPDX-License-Identifier: MIT */
/*
 * heap_realloc: an object gets another size.
 *
 *	still fits its slot        nothing happens         fits_slot
 *	large, pages behind free   it grows where it is    mheap_resize_large
 *	large, above 1 MiB         its pages move          mheap_move_pages
 *	else                       a copy, with headroom   move
 *
 * The first case is that of a growing buffer, decided by the page code alone
 * as on the hit path of free. An object that would waste half of its slot is
 * moved to a smaller one.
 *
 * Invariant: R1 whatever fails, the object stays as it was.
 */
#include "alloc/harden.h"
#include "alloc/heap_parts.h"
#include "alloc/limits.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "base/fatal.h"

#include <string.h>

enum {
	GROWTH_MIN = 512, /* bytes; smaller objects grow without headroom */
};

/*
 * A buffer that grows by little will grow again: it gets a quarter more, which
 * halves the copying (gperftools does the same). Small objects don't: there
 * are many of them, and most have reached their size.
 */
static size_t headroom(size_t old, size_t size)
{
	size_t more = old + old / 4;

	if (old < GROWTH_MIN || old > MAX_SMALL || size <= old || size >= more)
		return size;
	return more;
}

/* Out of line: the hit paths' stores happen in HOT code only. */
NOINLINE HOT static void *hot_malloc(size_t size)
{
	return heap_malloc(size);
}

NOINLINE HOT static void hot_free(void *p)
{
	heap_free(p);
}

void heap_note_size(void *p, size_t size)
{
	size_t page = arena_page((uintptr_t)p);

	if (unlikely(mheap.record_objects ||
		    load_relaxed(&window_code[page]) == 0))
		objinfo_resized(arena_span((uintptr_t)p), (uintptr_t)p, size);
}

void *heap_malloc_more(size_t more, size_t size)
{
	void *p = hot_malloc(more);

	if (p && more != size)
		heap_note_size(p, size);
	return p;
}

static void *move(void *p, size_t old, size_t size)
{
	void *q = heap_malloc_more(headroom(old, size), size);
	struct mspan *from, *to;

	if (!q)
		return NULL;
	if (old > (size_t)MAX_RUN * PAGE_SIZE &&
		size > (size_t)MAX_RUN * PAGE_SIZE) {
		from = arena_span((uintptr_t)p);
		to = arena_span((uintptr_t)q);
		if (mheap_move_pages(from, to)) {
			hot_free(p);
			return q;
		}
	}
	memcpy(q, p, MIN(old, size));
	hot_free(p);
	return q;
}

/* Always elsewhere, so that whoever kept the old address is found. */
static void *move_hardened(struct mspan *s, void *p, size_t size)
{
	size_t old = harden_size("realloc", s, (uintptr_t)p);
	void *q = hot_malloc(size);

	if (!q)
		return NULL;
	memcpy(q, p, MIN(old, size));
	hot_free(p);
	return q;
}

static bool resize_in_place(struct mspan *s, size_t want)
{
	size_t have = mspan_elemsize(s);
	size_t npages = (want + PAGE_SIZE - 1) >> PAGE_SHIFT;

	if (s->state == MSPAN_SMALL)
		return want <= have && (want > have / 2 || have <= 64);
	if (npages == s->npages)
		return true;
	return want > MAX_SMALL && mheap_resize_large(s, npages);
}

/*
 * The usual case of a growing buffer, by the page code alone: the new size
 * still fits the slot. Anything odd about p is left to the slow path.
 */
static ALWAYS_INLINE bool fits_slot(void *p, size_t size)
{
	size_t page = arena_page((uintptr_t)p), have, want;
	struct mcache_rec *rec;
	unsigned code;

	if (page >= hot_load(&window_npages))
		return false;
	code = window_code[page];
	if (code == 0 || code >= NSIZECLASS * REC_SIZE)
		return false;
	rec = (void *)((char *)mcache_self + code);
	have = sizeclasses[code / REC_SIZE].size;
	want = size + mcache_slack;
	return want <= have && want > have / 2 && *rec->top != p &&
		!((uint32_t)(uintptr_t)p & rec->mask);
}

void *heap_realloc(void *p, size_t size)
{
	struct mspan *s;
	unsigned r;

	if (likely(!mheap.record_objects) && fits_slot(p, size))
		return p;
	s = arena_span((uintptr_t)p);
	if (unlikely(!s)) {
		if (heap_owns(p) || !heap_hooks.realloc_foreign)
			heap_no_object("realloc", p);
		return heap_hooks.realloc_foreign(p, size);
	}
	r = heap_checked_rec("realloc", s, (uintptr_t)p);
	if (unlikely(r && *mcache_self->rec[r].top == p))
		mcentral_freed_before(
			"realloc", (uintptr_t)p, mspan_elemsize(s));
	if (size > PTRDIFF_MAX)
		return heap_refuse(size);
	if (s->sampled && unlikely(mheap.harden))
		return move_hardened(s, p, size);
	if (resize_in_place(s, size + mcache_slack)) {
		if (unlikely(s->info))
			objinfo_resized(s, (uintptr_t)p, size);
		limits_look();
		return p;
	}
	return move(p, mspan_elemsize(s), size);
}
