/* SPDX-License-Identifier: MIT */
/*
 * heap: the front door of the allocator, all slow paths of malloc and free.
 *
 *	malloc  <= 1 KiB   mcache_pop      -- miss --> heap_malloc_slow
 *	        <= 1 MiB   heap_malloc_mid -- miss --> heap_malloc_slow
 *	                              large: malloc_near before that
 *	        above      heap_malloc_slow -> mheap_alloc_large
 *	free    mcache_push -- miss --> heap_free_slow: magazine full, large
 *	        above 1 MiB, sampled, foreign, wrong
 *
 * Every malloc is counted by the record's countdown, whichever path it takes;
 * what happens when that falls below zero (tick) costs nothing on the hit path:
 * trimming, scavenging, heap-profile samples.
 *
 * Invariant: F1 on every return left >= 0 in all records of the caller.
 *
 * Checks that are always on: foreign pointers, pointers into a free page or
 * past the last slot, misaligned ones and pointers into a large object (page
 * code or mask), the object freed last (top of the magazine); and at the
 * latest when the magazine is flushed: the middle of a slot, a double free.
 */
#include "alloc/heap_parts.h"
#include "alloc/limits.h"
#include "alloc/harden.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "alloc/tick.h"
#include "base/fatal.h"
#include "base/options.h"
#include "os/sysmem.h"

#include <string.h>

struct heap_hooks heap_hooks;

/*
 * Slow paths tell snapshots that the counters of this mcache are moving, and
 * the collector that an object may be known by its span alone.
 */
static void begin_slow(struct mcache *mc)
{
	defer_stop();
	store_relaxed(&mc->slow, mc->slow + 1);
	signal_fence();
}

static void end_slow(struct mcache *mc)
{
	/* release [slow]: who reads an even number reads settled counters. */
	store_release(&mc->slow, mc->slow + 1);
	mcache_put(mc);
	permit_stop();
	limits_look();
}

/* Record that serves a request, as on the hit paths; 0: above MAX_RUN. */
static unsigned rec_of_size(const struct mcache *mc, size_t size)
{
	if (size <= SMALL_MAX)
		return (unsigned)(mc->small[(size + 7) / 8] - mc->rec);
	size += mcache_slack;
	if (size <= MAX_SMALL)
		return class_by_128[(size + 127) / 128];
	if (size <= (size_t)MAX_RUN * PAGE_SIZE)
		return rec_of_run((size + PAGE_SIZE - 1) >> PAGE_SHIFT);
	return 0;
}

/*
 * Record r, or where its magazine is empty one that is at most an eighth larger
 * and has a free object at hand.
 */
static ALWAYS_INLINE unsigned at_hand(struct mcache *mc, unsigned r)
{
	unsigned most = r < NSIZECLASS ? 0 : (r - NSIZECLASS + 1) / 8;

	if (*mc->rec[r].top)
		return r;
	for (unsigned k = 1; k <= most && r + k < NREC; k++)
		if (*mc->rec[r + k].top) {
			if (mc->cold[r].misses < UINT16_MAX)
				mc->cold[r].misses++;
			return r + k;
		}
	return r;
}

/* A magazine gives none: for a large object perhaps that of a neighbour. */
NOINLINE HOT static void *malloc_near(size_t size, struct mcache_rec *rec)
{
	struct mcache *mc = mcache_self;
	unsigned r = (unsigned)(rec - mc->rec), near = at_hand(mc, r);
	void *p = near == r ? NULL : mcache_pop(&mc->rec[near]);

	if (unlikely(!p))
		return heap_malloc_slow(size);
	/* calloc looks at the record of its size alone. */
	arena_span((uintptr_t)p)->zeroed = false;
	return p;
}

HOT void *heap_malloc_mid(size_t size)
{
	size_t want = size + mcache_slack;
	struct mcache_rec *r;
	void *p;

	if (want <= MAX_SMALL)
		r = &mcache_self->rec[class_by_128[(want + 127) / 128]];
	else if (want <= (size_t)MAX_RUN * PAGE_SIZE)
		r = &mcache_self->rec[rec_of_run(
			(want + PAGE_SIZE - 1) >> PAGE_SHIFT)];
	else
		return heap_malloc_slow(size);
	p = mcache_pop(r);
	if (likely(p != NULL))
		return p;
	return malloc_near(size, r);
}

void *heap_refuse(size_t size)
{
	if (heap_hooks.out_of_memory)
		heap_hooks.out_of_memory(size);
	return NULL;
}

/* An object of record r that is not in the magazine; NULL: refused. */
static void *fetch(struct mcache *mc, unsigned r)
{
	struct mcache_rec *rec = &mc->rec[r];
	struct mspan *s;
	void *p;

	if (r < NSIZECLASS) {
		if (!*rec->top && !mcache_refill(mc, r))
			return NULL;
		p = *rec->top;
		store_relaxed(&rec->top, rec->top - 1);
		return p;
	}
	if (*rec->top) {
		p = *rec->top;
		store_relaxed(&rec->top, rec->top - 1);
		/* calloc has not seen it if the mcache is new to the thread. */
		arena_span((uintptr_t)p)->zeroed = false;
		return p;
	}
	if (mc->cold[r].misses < UINT16_MAX)
		mc->cold[r].misses++;
	mcache_recede(mc);
	s = mheap_alloc_large(r - NSIZECLASS + 1, 1, false);
	return s ? (void *)s->base : NULL;
}

/* Objects above MAX_RUN are counted by mheap. */
static void *malloc_huge(struct mcache *mc, const struct unwind_regs *regs,
	size_t size, size_t align)
{
	size_t npages, want;
	struct mspan *s;
	int shift;

	if (size > PTRDIFF_MAX - (align << PAGE_SHIFT) - PAGE_SIZE)
		return heap_refuse(size);
	want = size + mcache_slack;
	npages = (want + PAGE_SIZE - 1) >> PAGE_SHIFT;
	shift = tick_huge(mc, want);
	if (shift >= 0 && !mheap.record_objects) {
		void *p = objinfo_malloc_sampled(mc, regs, 0, npages, align,
			size, (unsigned)shift);

		return p ? p : heap_refuse(size);
	}
	s = mheap_alloc_large(npages, align, false);
	if (s && unlikely(mheap.record_objects))
		objinfo_record(mc, regs, (void *)s->base, size);
	return s ? (void *)s->base : heap_refuse(size);
}

/* One counted malloc of record r; size is what was asked for. */
static void *malloc_counted(struct mcache *mc, const struct unwind_regs *regs,
	unsigned r, size_t size)
{
	int shift = tick_count(mc, r);
	bool all = mheap.record_objects;
	void *p = NULL;

	if (unlikely(shift >= 0 && !all))
		p = objinfo_malloc_sampled(mc, regs, r,
			r < NSIZECLASS ? 0 : r - NSIZECLASS + 1, 1, size,
			(unsigned)shift);
	if (!p)
		p = fetch(mc, r);
	if (!p)
		tick_uncount(mc, r);
	else if (unlikely(all))
		objinfo_record(mc, regs, p, size);
	return p;
}

static void *malloc_hardened(struct mcache *mc, const struct unwind_regs *regs,
	size_t align, size_t size)
{
	void *p;

	begin_slow(mc);
	p = harden_malloc(mc, regs, align, size);
	end_slow(mc);
	return p ? p : heap_refuse(size);
}

NOINLINE void *heap_malloc_slow(size_t size)
{
	struct mcache *mc = mcache_get();
	struct unwind_regs regs;
	unsigned r;
	void *p;

	if (!mc)
		return heap_refuse(size);
	unwind_caller(&regs); /* of malloc: it has jumped here */
	if (unlikely(mheap.harden))
		return malloc_hardened(mc, &regs, 1, size);
	begin_slow(mc);
	r = rec_of_size(mc, size);
	if (size > PTRDIFF_MAX || r == 0)
		p = malloc_huge(mc, &regs, size, 1);
	else
		p = malloc_counted(mc, &regs, at_hand(mc, r), size);
	end_slow(mc);
	return p ? p : r ? heap_refuse(size) : NULL;
}

static void free_foreign(void *p)
{
	if (!heap_hooks.free_foreign)
		fatal("free of %p: never allocated", p);
	heap_hooks.free_foreign(p);
}

unsigned heap_checked_rec(const char *what, const struct mspan *s,
	uintptr_t p)
{
	if (s->state == MSPAN_CACHED)
		mcentral_freed_before(what, p, mspan_elemsize(s));
	if (s->state == MSPAN_LARGE) {
		if (p != s->base)
			mcentral_bad_pointer(what, s, p);
		return s->npages <= MAX_RUN ? rec_of_run(s->npages) : 0;
	}
	uint32_t i = mspan_index(s, p);

	if (i >= s->nelems || s->base + (uintptr_t)i * s->elemsize_small != p ||
		mspan_isfree(s, i))
		mcentral_bad_pointer(what, s, p);
	return s->sizeclass;
}

/* The last large objects that left nothing behind when they were freed. */
static struct {
	uint32_t n;
	uintptr_t base[8];
} gone;

/* relaxed: for last words only. */
static void goes(uintptr_t base)
{
	store_relaxed(
		&gone.base[add_relaxed(&gone.n, 1) % NELEM(gone.base)], base);
}

static bool is_gone(uintptr_t base)
{
	for (unsigned i = 0; i < NELEM(gone.base); i++)
		if (load_relaxed(&gone.base[i]) == base)
			return true;
	return false;
}

void heap_no_object(const char *what, void *p)
{
	bool was = is_gone((uintptr_t)p);

	if (was && !strcmp(what, "free"))
		fatal("double free of %p", p);
	if (was)
		fatal("%s of %p: freed before", what, p);
	fatal("%s of %p: no object is there (freed before, or never allocated)",
		what, p);
}

/* An object that no magazine takes. */
static void free_to_heap(struct mspan *s, void *p)
{
	if (s->state == MSPAN_SMALL)
		mcentral_put(s, (uintptr_t)p);
	else
		mheap_free_span(s);
	if (mcache_self != &mcache_none)
		tick_hurry(mcache_self);
}

static void push_slow(struct mcache *mc, unsigned r, struct mspan *s, void *p)
{
	struct mcache_rec *rec = &mc->rec[r];

	if (*rec->top == p)
		mcentral_freed_before("free", (uintptr_t)p, mspan_elemsize(s));
	if (rec->top >= rec->limit) {
		if (!mcache_make_room(mc, r)) {
			free_to_heap(s, p);
			return;
		}
		tick_hurry(mc);
	}
	rec->top[1] = p;
	store_relaxed(&rec->top, rec->top + 1);
}

NOINLINE void heap_free_slow(void *ptr)
{
	struct mcache *mc;
	struct mspan *s;
	unsigned r;

	if (!ptr)
		return;
	s = arena_span((uintptr_t)ptr);
	if (!s) {
		if (heap_owns(ptr))
			heap_no_object("free", ptr);
		free_foreign(ptr);
		return;
	}
	r = heap_checked_rec("free", s, (uintptr_t)ptr);
	if (s->sampled && unlikely(mheap.harden)) {
		harden_free(s, (uintptr_t)ptr);
		return;
	}
	if (r == 0)
		goes(s->base);
	mc = r == 0 || mcache_gone() ? NULL : mcache_get();
	if (s->sampled && (!mc || s->state == MSPAN_SMALL || s->emptied)) {
		objinfo_free_sampled(s, (uintptr_t)ptr);
		return;
	}
	if (!mc) {
		free_to_heap(s, ptr);
		return;
	}
	begin_slow(mc);
	if (s->sampled)
		objinfo_unsample(s);
	push_slow(mc, r, s, ptr);
	end_slow(mc);
}

NOINLINE void heap_free_sized_slow(void *p, size_t size)
{
	struct mspan *s = arena_span((uintptr_t)p);

	if (s && s->sampled && mheap.harden) {
		heap_checked_rec("free", s, (uintptr_t)p);
		harden_check_size(s, (uintptr_t)p, size);
	}
	heap_free_slow(p);
}

/* Does a malloc of this record get an object that was used before? */
static bool comes_used(size_t size)
{
	struct mcache *mc = mcache_self;
	unsigned r = rec_of_size(mc, size);

	return r != 0 && (r < NSIZECLASS || *mc->rec[r].top != NULL);
}

HOT void *heap_calloc(size_t n, size_t size)
{
	size_t bytes;
	bool used;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return heap_refuse(SIZE_MAX);
	if (bytes <= SMALL_MAX) {
		p = heap_malloc(bytes);
		return p ? memset(p, 0, bytes) : NULL;
	}
	used = mheap.harden || comes_used(bytes);
	p = heap_malloc_mid(bytes);
	if (p && (used || !arena_span((uintptr_t)p)->zeroed))
		memset(p, 0, bytes);
	return p;
}

/* Page runs at a multiple of more than a page. */
NOINLINE static void *memalign_large(size_t align, size_t size)
{
	size_t step = MAX(align >> PAGE_SHIFT, (size_t)1);
	struct mcache *mc;
	struct unwind_regs regs;
	size_t npages;
	struct mspan *s;
	unsigned r;
	int shift;
	void *p;

	if (size > PTRDIFF_MAX - align || !(mc = mcache_get()))
		return heap_refuse(size);
	unwind_caller(&regs);
	npages = (size + mcache_slack + PAGE_SIZE - 1) >> PAGE_SHIFT;
	npages = MAX(npages, (size_t)1);
	begin_slow(mc);
	if (npages > MAX_RUN) {
		p = malloc_huge(mc, &regs, size, step);
		end_slow(mc);
		return p;
	}
	r = rec_of_run(npages);
	shift = tick_count(mc, r);
	if (shift >= 0 && !mheap.record_objects) {
		p = objinfo_malloc_sampled(mc, &regs, r, npages, step, size,
			(unsigned)shift);
	} else {
		s = mheap_alloc_large(npages, step, false);
		p = s ? (void *)s->base : NULL;
		if (p && mheap.record_objects)
			objinfo_record(mc, &regs, p, size);
	}
	if (!p)
		tick_uncount(mc, r);
	end_slow(mc);
	return p ? p : heap_refuse(size);
}

NOINLINE static void *memalign_hardened(size_t align, size_t size)
{
	struct mcache *mc = mcache_get();
	struct unwind_regs regs;

	unwind_caller(&regs);
	return mc ? malloc_hardened(mc, &regs, align, size) : heap_refuse(size);
}

NOINLINE void *heap_memalign_slow(size_t align, size_t size)
{
	unsigned c;
	void *p;

	if (unlikely(mheap.harden))
		return memalign_hardened(align, size);
	if (size > PTRDIFF_MAX)
		return heap_refuse(size);
	if (align <= 16)
		return heap_malloc_more(MAX(size, align), size);
	c = sizeclass_for(align, MAX(size, (size_t)1) + mcache_slack);
	/* Requests are rounded to 8 bytes before the slack is added. */
	if (c < NSIZECLASS) {
		p = heap_malloc_slow(sizeclasses[c].size - 8 * mcache_slack);
		if (p)
			heap_note_size(p, size);
		return p;
	}
	if (align <= PAGE_SIZE && size > MAX_SMALL)
		return heap_malloc_more(size, size); /* a run of pages */
	return memalign_large(align, size);
}

HOT void *heap_memalign(size_t align, size_t size)
{
	void *p = heap_pop_aligned(align, size);

	return likely(p != NULL) ? p : heap_memalign_slow(align, size);
}

size_t heap_good_size(size_t align, size_t size)
{
	unsigned c;

	if (align > SIZE_MAX / 4 || size > PTRDIFF_MAX - align)
		return 0;
	if (mheap.harden)
		return size;
	size = MAX(size, MIN(align, (size_t)16));
	if (size <= SMALL_MAX) /* rounded before the slack is added */
		size = ALIGN_UP(size, (size_t)8);
	c = sizeclass_for(align, size + mcache_slack);
	if (c < NSIZECLASS)
		return sizeclasses[c].size - mcache_slack;
	return ALIGN_UP(size + mcache_slack, (size_t)PAGE_SIZE) - mcache_slack;
}

size_t heap_usable_size(const void *p)
{
	struct mspan *s = arena_span((uintptr_t)p);

	if (s && s->sampled && mheap.harden) /* what follows is watched */
		return objinfo_size(s, objinfo_at(s, (uintptr_t)p));
	if (likely(s != NULL))
		return mspan_elemsize(s) - mcache_slack;
	if (!p || heap_owns(p) || !heap_hooks.usable_foreign)
		return 0;
	return heap_hooks.usable_foreign(p);
}

void heap_init(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	mheap.harden = options->harden;
	limits_start();
}

void heap_check(void)
{
	mcache_check();
	mcentral_check();
	mheap_check();
}
