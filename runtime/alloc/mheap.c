/* SPDX-License-Identifier: MIT */
/*
 * mheap: pages to spans and back.
 *
 *	mcentral, large objects --alloc--> mheap --take--> pagealloc --> arena
 *	                        <--free---       <--free--
 *
 * A span's pages are entered in the arena's span table (all of them, so that
 * interior addresses can be looked up) and in the page code table, which holds
 * for free()'s hit path the mcache record of the page: every page of a small
 * span, the first page of a large one. Code 0 leads to the slow path, so
 * sampled spans, free pages and the inside of large objects are told apart
 * there at no cost to anybody else.
 *
 * Invariants, walked by mheap_check():
 *   H1  pages_inuse + pages_idle + pages_scav == mapped pages;
 *   H2  a span in use is the entry of each of its pages;
 *   H3  the code of a page that is not in a small span, nor first in a large
 *       one, is 0; so are all codes of sampled spans.
 *
 * Lock: mheap.lock (LOCK_MHEAP). Descriptors come from fixalloc under it. The
 * kernel is called under the lock only to grow and to scavenge.
 *
 * Small spans go to the bitmap at once: with about 64 objects in each it is
 * visited once in 64 allocations. Large ones stop over in runcache.c.
 */
#include "alloc/mheap.h"
#include "alloc/arena.h"
#include "alloc/hugepage.h"
#include "alloc/limits.h"
#include "alloc/objinfo.h"
#include "alloc/pagealloc.h"
#include "alloc/peak.h"
#include "alloc/runcache.h"
#include "alloc/scavenge.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

#define SPAN_BYTES(words) (sizeof(struct mspan) + (words) * sizeof(uint64_t))

struct mheap mheap = {
	.lock = LOCK_INIT(LOCK_MHEAP),
	.gc_pages = SIZE_MAX,
	.spans = {{.size = SPAN_BYTES(0), .kind = SYS_MSPAN},
		{.size = SPAN_BYTES(2), .kind = SYS_MSPAN},
		{.size = SPAN_BYTES(8), .kind = SYS_MSPAN},
		{.size = SPAN_BYTES(16), .kind = SYS_MSPAN}},
};

bool mheap_init(void)
{
	/* acquire [ready]: pairs with the release below. */
	if (likely(load_acquire(&mheap.ready)))
		return true;
	if (mheap_on_start)
		mheap_on_start();
	lock(&mheap.lock);
	if (!mheap.ready && arena_init())
		store_release(&mheap.ready, true); /* release [ready] */
	unlock(&mheap.lock);
	return mheap.ready;
}

uint64_t mheap_mapped_ready(void)
{
	uint64_t n = 0;

	for (int k = 0; k < NSYSKIND; k++)
		n += sysmem_sys((enum syskind)k);
	return n - ((uint64_t)load_relaxed(&mheap.pages_scav) << PAGE_SHIFT);
}

static struct fixalloc *pool(unsigned nwords)
{
	return &mheap.spans[nwords == 0 ? 0
			: nwords <= 2	? 1
			: nwords <= 8	? 2
					: 3];
}

/* Under lock: the pages of a span are free again. */
static void free_pages(struct mspan *s)
{
	size_t page = arena_page(s->base), npages = s->npages;

	for (size_t i = page; i < page + npages; i++)
		store_relaxed(
			&arenas[i / ARENA_PAGES]->spans[i % ARENA_PAGES], NULL);
	if (s->emptied) {
		pagealloc_free_scavenged(page, npages);
		own_add(&mheap.pages_scav, npages);
		own_add(&mheap.pages_idle, -npages);
	} else {
		pagealloc_free(page, npages);
	}
	objinfo_detach(s);
	s->state = MSPAN_FREE;
	fixalloc_free(pool(s->nwords), s);
}

/* Under lock: cached spans of at least npages go back. True: there were any. */
static bool empty_runcache(size_t npages, size_t count)
{
	struct mspan *s;
	bool any = false;

	while (count-- && (s = runcache_pop(npages, SIZE_MAX)) != NULL) {
		free_pages(s);
		any = true;
	}
	return any;
}

/* Under lock: more heap, of which npages can be had in a row. */
static bool grow(size_t npages, size_t align)
{
	size_t got, page = arena_grow(npages + align - 1, &got);

	if (page == SIZE_MAX)
		return false;
	own_add(&mheap.pages_scav, got);
	pagealloc_added(page, got);
	return true;
}

/* Under lock: idle pages lose their memory. */
static size_t give_back(size_t npages)
{
	size_t n = pagealloc_scavenge(npages);

	own_add(&mheap.pages_idle, -n);
	own_add(&mheap.pages_scav, n);
	own_add(&mheap.scavenged_total, n << PAGE_SHIFT);
	return n;
}

/* Under lock: pages were taken, nscav of them without memory so far. */
static void took(size_t npages, size_t nscav)
{
	size_t excess;

	own_add(&mheap.pages_scav, -nscav);
	own_add(&mheap.pages_idle, -(npages - nscav));
	own_add(&mheap.pages_inuse, npages);
	if (unlikely(peak_reached())) {
		empty_runcache(1, SIZE_MAX);
		peak_settle(give_back(peak_excess()));
	}
	scavenge_took();
	limits_took(npages, nscav);
	excess = limits_excess(nscav);
	if (unlikely(excess)) {
		empty_runcache(1, SIZE_MAX);
		give_back(excess);
	}
}

/* Under lock: npages free pages in a row, growing the heap if need be. */
static size_t take_pages(size_t npages, size_t align, bool *zero)
{
	size_t page, nscav;

	if (limits_refuse(npages))
		return SIZE_MAX;
	page = pagealloc_take(npages, align, zero, &nscav);
	/* Split what is cached, then join it, before the heap grows. */
	if (page == SIZE_MAX && empty_runcache(npages + align - 1, 1))
		page = pagealloc_take(npages, align, zero, &nscav);
	if (page == SIZE_MAX && empty_runcache(1, SIZE_MAX))
		page = pagealloc_take(npages, align, zero, &nscav);
	if (page == SIZE_MAX && grow(npages, align))
		page = pagealloc_take(npages, align, zero, &nscav);
	if (page == SIZE_MAX)
		return SIZE_MAX;
	took(npages, nscav);
	return page;
}

/*
 * Under lock: enter the span in the tables. code is for the first n pages. One
 * from the runcache is still in the table of spans.
 */
static void publish(struct mspan *s, unsigned code, size_t ncode)
{
	size_t page = arena_page(s->base), end = page + s->npages - 1;
	bool there = arenas[page / ARENA_PAGES]->spans[page % ARENA_PAGES] == s &&
		arenas[end / ARENA_PAGES]->spans[end % ARENA_PAGES] == s;

	for (size_t i = page; i <= end && !there; i++)
		/* release [span]: pairs with arena_span(). */
		store_release(
			&arenas[i / ARENA_PAGES]->spans[i % ARENA_PAGES], s);
	for (size_t i = 0; i < ncode; i++)
		store_relaxed(&window_code[page + i], (uint16_t)code);
}

static struct mspan *alloc_span(size_t npages, size_t align, unsigned nwords)
{
	struct mspan *s = fixalloc_alloc(pool(nwords));
	bool zero;
	size_t page;

	if (!s)
		return NULL;
	page = take_pages(npages, align, &zero);
	if (page == SIZE_MAX) {
		fixalloc_free(pool(nwords), s);
		return NULL;
	}
	s->base = arena_addr(page);
	s->npages = (uint32_t)npages;
	s->nwords = (uint16_t)nwords;
	s->zeroed = zero;
	s->serial = ++mheap.serial;
	return s;
}

/* Under lock: undo alloc_span(). */
static void take_back(struct mspan *s)
{
	own_add(&mheap.pages_inuse, -(size_t)s->npages);
	own_add(&mheap.pages_idle, s->npages);
	free_pages(s);
}

/* A class's lock may be held. */
static void look_at_goal(void)
{
	if (unlikely(load_relaxed(&mheap.pages_inuse) >=
		    load_relaxed(&mheap.gc_pages)) &&
		mheap.on_goal)
		mheap.on_goal();
}

struct mspan *mheap_alloc_small(unsigned sizeclass, size_t npages, bool sampled)
{
	const struct sizeclass *c = &sizeclasses[sizeclass];
	unsigned nelems = (unsigned)(npages * PAGE_SIZE / c->size);
	unsigned nwords = (nelems + 63) / 64;
	struct mspan *s;

	lock(&mheap.lock);
	s = alloc_span(npages, 1, nwords);
	if (s) {
		s->state = MSPAN_SMALL;
		s->sizeclass = (uint8_t)sizeclass;
		s->elemsize_small = c->size;
		s->magic = c->magic;
		s->nelems = (uint16_t)nelems;
		s->nfree = s->nelems;
		s->sampled = sampled;
		memset(s->freebits, 0xff, nwords * sizeof(uint64_t));
		if (nelems % 64)
			s->freebits[nwords - 1] =
				((uint64_t)1 << nelems % 64) - 1;
		if (!objinfo_attach(s)) {
			take_back(s);
			s = NULL;
		}
	}
	if (s) {
		publish(s, sampled ? 0 : sizeclass * REC_SIZE, s->npages);
		if (s->zeroed)
			hugepage_want(arena_page(s->base), s->npages);
	}
	unlock(&mheap.lock);
	look_at_goal();
	return s;
}

/* Under lock: count a large object of npages that goes out (+1) or back. */
static void count_large(size_t npages, int64_t n)
{
	size_t k = npages <= MAX_RUN ? npages : 0;

	own_add(&mheap.run_out[k], (uint64_t)n);
	if (k)
		return;
	own_add(&mheap.huge_out_bytes, (uint64_t)n * npages * PAGE_SIZE);
}

static unsigned large_code(const struct mspan *s)
{
	if (s->sampled || s->npages > MAX_RUN)
		return 0;
	return rec_of_run(s->npages) * REC_SIZE;
}

/* Under lock: the pages from npages on are free again. */
static void cut_tail(struct mspan *s, size_t npages)
{
	size_t less = s->npages - npages;
	size_t page = arena_page(s->base) + npages;

	for (size_t i = page; i < page + less; i++)
		store_relaxed(
			&arenas[i / ARENA_PAGES]->spans[i % ARENA_PAGES], NULL);
	pagealloc_free(page, less);
	own_add(&mheap.pages_inuse, -less);
	own_add(&mheap.pages_idle, less);
	s->npages = (uint32_t)npages;
}

/* Under lock. */
static struct mspan *take_run(size_t npages, size_t align)
{
	struct mspan *s = NULL;

	if (npages <= MAX_RUN && align == 1 && !limits_refuse(npages))
		s = runcache_pop(npages, npages + npages / 4);
	if (!s)
		return alloc_span(npages, align, 0);
	own_add(&mheap.pages_idle, -(size_t)s->npages);
	own_add(&mheap.pages_inuse, s->npages);
	if (s->npages > npages)
		cut_tail(s, npages);
	scavenge_took();
	limits_took(npages, 0);
	s->zeroed = false;
	s->serial = ++mheap.serial;
	return s;
}

/* Under lock: the span becomes an object. */
static void make_large(struct mspan *s, bool sampled)
{
	s->state = MSPAN_LARGE;
	s->nelems = 1;
	s->sampled = sampled;
	s->info = NULL;
	objinfo_attach(s);
	publish(s, large_code(s), 1);
	count_large(s->npages, 1);
	if (s->npages > MAX_RUN) {
		own_add(&mheap.huge_mallocs, 1);
		own_add(&mheap.huge_malloc_bytes, mspan_bytes(s));
	}
}

struct mspan *mheap_alloc_large(size_t npages, size_t align, bool sampled)
{
	struct mspan *s;

	if (npages > UINT32_MAX)
		return NULL;
	lock(&mheap.lock);
	s = take_run(npages, align);
	if (s)
		make_large(s, sampled);
	unlock(&mheap.lock);
	look_at_goal();
	return s;
}

void mheap_set_sampled(struct mspan *s, bool sampled)
{
	s->sampled = sampled;
	s->one = (struct objinfo){0};
	s->info = sampled ? &s->one : NULL;
	store_relaxed(&window_code[arena_page(s->base)],
		(uint16_t)large_code(s));
}

/* The pages around a guarded span can be touched, or no longer. */
static bool guard(const struct mspan *s, bool access)
{
	size_t front = (size_t)s->guard << PAGE_SHIFT, size = mspan_bytes(s);
	char *base = (char *)s->base;

	if (access)
		return sysmem_protect(
			base - front, front + size + PAGE_SIZE, true);
	return sysmem_protect(base - front, front, false) &&
	       sysmem_protect(base + size, PAGE_SIZE, false);
}

struct mspan *mheap_alloc_guarded(size_t npages, size_t align)
{
	size_t all = npages + align + 1;
	struct mspan *s;

	if (all > UINT32_MAX)
		return NULL;
	lock(&mheap.lock);
	s = alloc_span(all, align, 0);
	if (s) {
		s->guard = (uint32_t)align;
		s->base += align << PAGE_SHIFT;
		s->npages = (uint32_t)npages;
		own_add(&mheap.pages_guard, align + 1);
		make_large(s, true);
	}
	unlock(&mheap.lock);
	if (s)
		guard(s, false); /* advice: there may be too many mappings */
	look_at_goal();
	return s;
}

static void uncount_large(const struct mspan *s)
{
	count_large(s->npages, -1);
	if (s->npages <= MAX_RUN)
		return;
	own_add(&mheap.huge_frees, 1);
	own_add(&mheap.huge_free_bytes, mspan_bytes(s));
}

/* Should the kernel not undo the guard, the span stays out for ever. */
static void free_guarded(struct mspan *s)
{
	size_t front = s->guard;

	if (!guard(s, true))
		return;
	lock(&mheap.lock);
	uncount_large(s);
	s->base -= front << PAGE_SHIFT;
	s->npages += (uint32_t)front + 1;
	s->guard = 0;
	own_add(&mheap.pages_guard, -(front + 1));
	own_add(&mheap.pages_inuse, -(size_t)s->npages);
	own_add(&mheap.pages_idle, s->npages);
	s->emptied = sysmem_release((void *)s->base, mspan_bytes(s));
	free_pages(s);
	scavenge_freed();
	unlock(&mheap.lock);
}

void mheap_free_span(struct mspan *s)
{
	size_t page = arena_page(s->base), npages = s->npages;
	bool keep = false;

	if (unlikely(s->guard)) {
		free_guarded(s);
		return;
	}
	lock(&mheap.lock);
	own_add(&mheap.pages_inuse, -npages);
	own_add(&mheap.pages_idle, npages);
	if (s->state == MSPAN_LARGE) {
		uncount_large(s);
		store_relaxed(&window_code[page], 0);
		keep = npages <= MAX_RUN && !s->emptied && runcache_put(s);
	} else if (!s->sampled) {
		memset(&window_code[page], 0, npages * sizeof(uint16_t));
	}
	if (!keep)
		free_pages(s);
	scavenge_freed();
	unlock(&mheap.lock);
}

static bool grow_in_place(struct mspan *s, size_t npages)
{
	size_t more = npages - s->npages, nscav;
	size_t page = arena_page(s->base) + s->npages;
	bool zero;

	if (limits_refuse(more) || !pagealloc_take_at(page, more, &zero, &nscav))
		return false;
	took(more, nscav);
	return true;
}

bool mheap_resize_large(struct mspan *s, size_t npages)
{
	size_t old = s->npages;
	bool ok = true;

	/*
	 * Crossing MAX_RUN would move an object between two ways of counting
	 * mallocs (records, huge counters); such requests move the object.
	 */
	if ((old > MAX_RUN) != (npages > MAX_RUN))
		return false;
	lock(&mheap.lock);
	if (npages > old) {
		ok = grow_in_place(s, npages);
	} else if (npages < old) {
		cut_tail(s, npages);
		scavenge_freed();
	}
	if (ok) {
		count_large(old, -1);
		count_large(npages, 1);
		if (npages <= MAX_RUN && npages != old)
			own_add(&mheap.run_resized[npages], 1);
		if (npages > old)
			own_add(&mheap.grown_bytes,
				(npages - old) << PAGE_SHIFT);
		else
			own_add(&mheap.shrunk_bytes,
				(old - npages) << PAGE_SHIFT);
		s->npages = (uint32_t)npages;
		s->zeroed = false;
		publish(s, large_code(s), 1);
	}
	unlock(&mheap.lock);
	return ok;
}

bool mheap_move_pages(struct mspan *from, struct mspan *to)
{
	size_t bytes = MIN(mspan_bytes(from), mspan_bytes(to));

	if (!sysmem_move((void *)from->base, (void *)to->base, bytes))
		return false;
	from->emptied = bytes == mspan_bytes(from);
	return true;
}

size_t mheap_scavenge(size_t npages)
{
	size_t n;

	lock(&mheap.lock);
	empty_runcache(1, SIZE_MAX);
	n = give_back(npages);
	unlock(&mheap.lock);
	return n;
}

void mheap_free_os_memory(void)
{
	scavenge_forced();
}

static void check_page(size_t i, size_t *used)
{
	const struct arena *a = arenas[i / ARENA_PAGES];
	const struct mspan *s = a->spans[i % ARENA_PAGES];
	unsigned want = 0;

	if (s) {
		size_t at = i - arena_page(s->base);

		INVARIANT(at < s->npages && s->state != MSPAN_FREE);
		if (s->state == MSPAN_CACHED)
			--*used; /* idle for the books */
		if (s->state == MSPAN_LARGE && at == 0)
			want = large_code(s);
		else if (s->state == MSPAN_SMALL && !s->sampled)
			want = s->sizeclass * REC_SIZE;
		++*used;
	}
	INVARIANT(window_code[i] == want);
}

void mheap_check(void)
{
	size_t used = 0;

	lock(&mheap.lock);
	for (size_t i = 0; i < window.narenas * ARENA_PAGES; i++)
		check_page(i, &used);
	INVARIANT(used + mheap.pages_guard == mheap.pages_inuse);
	INVARIANT((mheap.pages_inuse + mheap.pages_idle + mheap.pages_scav)
			<< PAGE_SHIFT ==
		sysmem_sys(SYS_HEAP));
	pagealloc_check();
	unlock(&mheap.lock);
}
