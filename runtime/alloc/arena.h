/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_ARENA_H
#define GOSTAT_ALLOC_ARENA_H

#include "alloc/mspan.h"
#include "base/atomics.h"

/*
 * Address -> page -> span. See arena.c for the picture.
 */
enum {
	ARENA_SHIFT = 26, /* 64 MiB, as in Go on 64-bit Linux */
	ARENA_PAGES = 1 << (ARENA_SHIFT - PAGE_SHIFT),
	CHUNK_PAGES = 512, /* 4 MiB: unit of growth and of summaries */
	ARENA_CHUNKS = ARENA_PAGES / CHUNK_PAGES,
	CHUNK_WORDS = CHUNK_PAGES / 64,
	MAX_ARENAS = 1 << 14, /* 1 TiB */
};
#define ARENA_SIZE ((size_t)1 << ARENA_SHIFT)

/* Longest runs of free pages, Go's pallocSum: at the start, anywhere, end. */
struct pallocsum {
	uint32_t start, max, end;
};

struct arena {
	struct mspan *spans[ARENA_PAGES]; /* every page of a span in use */
	uint64_t inuse[ARENA_PAGES / 64]; /* 1: in use, or not mapped */
	uint64_t scav[ARENA_PAGES / 64];  /* 1: free and without memory */
	struct pallocsum chunk[ARENA_CHUNKS];
	uint32_t huge; /* bit b: 2 MiB block b asks for huge pages */
};

/*
 * The heap window: all spans lie in [window_base, window_base + window_npages *
 * PAGE_SIZE). Written under mheap.lock; window_npages only grows. These three
 * are what the hit path of free reads; they are variables of their own because
 * a struct would cost it an instruction for the address.
 */
extern HIDDEN uintptr_t window_base;
extern HIDDEN size_t window_npages;  /* pages that have a code */
extern HIDDEN uint16_t *window_code; /* per page: offset of its mcache record */

struct window {
	size_t max_arenas;
	size_t narenas;	 /* arenas[0..narenas) may be non-NULL */
	size_t grow;	 /* bytes by which the heap grows at a time */
	uintptr_t next;	 /* first address never mapped yet */
	size_t code_cap; /* bytes reserved for code */
};

extern HIDDEN struct window window;
extern HIDDEN struct arena *arenas[MAX_ARENAS];

/* Choose the window. False: no address space at all. Under mheap.lock. */
bool arena_init(void);

/*
 * Map more heap: at least npages more, contiguous. Returns the first page
 * number and sets *got, or returns SIZE_MAX. The pages are free, zero and
 * marked scavenged in inuse/scav (pagealloc sums are the caller's business).
 * Under mheap.lock.
 */
size_t arena_grow(size_t npages, size_t *got);

/*
 * Give up reserved address space: the program is about to limit all of it to
 * limit bytes. The heap can still grow by that much. Under mheap.lock.
 */
void arena_shed(size_t limit);

/*
 * All pages of this arena are free and have no memory: nor need their entries
 * in the tables, which read as before or as NULL. Under mheap.lock.
 */
void arena_idle(size_t arena);

static ALWAYS_INLINE size_t arena_page(uintptr_t p)
{
	return (p - window_base) >> PAGE_SHIFT; /* huge if p is below base */
}

static ALWAYS_INLINE uintptr_t arena_addr(size_t page)
{
	return window_base + (page << PAGE_SHIFT);
}

/*
 * Span that contains p, or NULL: not ours, free page, or no memory there.
 * Safe for any value of p and without a lock, as long as the caller knows that
 * the span cannot be freed meanwhile (it owns an object in it, or the world is
 * stopped).
 */
static ALWAYS_INLINE struct mspan *arena_span(uintptr_t p)
{
	size_t page = arena_page(p);
	struct arena *a;
	struct mspan *s;

	if (unlikely(page >= load_relaxed(&window_npages)))
		return NULL;
	/* acquire [arena]: the arena is filled in before it is published. */
	a = load_acquire(&arenas[page / ARENA_PAGES]);
	if (unlikely(!a))
		return NULL;
	/* acquire [span]: the descriptor is filled in before it is set. */
	s = load_acquire(&a->spans[page % ARENA_PAGES]);
	if (unlikely(!s || p - s->base >= mspan_bytes(s)))
		return NULL; /* stale entry of a freed span */
	return s;
}

#endif
