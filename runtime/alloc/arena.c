/* SPDX-License-Identifier: MIT */
/*
 * arena: the heap's address space and the tables that describe it.
 *
 * All heap memory lies in one window of address space, so that "is this ours"
 * is a subtraction and a comparison, and a flat table gives the size class of
 * a page. The window is only a claim, not a reservation: it is placed where
 * neither the kernel nor other run-times put anything, and memory in it is
 * mapped with MAP_FIXED_NOREPLACE as the heap grows. A neighbour that got
 * there first costs a gap, nothing else.
 *
 *	base                            next                    base + max
 *	| arena 0 (64 MiB) | arena 1 | ...|  not mapped yet        |
 *	  |      \
 *	  |       arenas[i]: spans, inuse and scav bits, chunk sums
 *	  code[page]: offset of the mcache record, for free()'s hit path
 *
 * Invariants:
 *   A1  code[0..npages) is readable; npages only grows;
 *   A2  a page at or above next has never been mapped;
 *   A3  arenas[i] is non-NULL if any page of arena i is below next and mapped.
 *
 * Locks: everything that writes runs under mheap.lock; readers use
 * load_acquire on arenas[] and spans[].
 *
 * Rejected: reserving 1 TiB with PROT_NONE. A program that calls setrlimit
 * (RLIMIT_AS) later on could not map anything any more. Rejected: a two-level
 * map for free(); one more dependent load on every call.
 */
#include "alloc/arena.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>
#include <sys/auxv.h>

enum { SPARE_ARENAS = 4 };

struct window window;
uintptr_t window_base CACHE_ALIGNED;
size_t window_npages;
uint16_t *window_code;
struct arena *arenas[MAX_ARENAS];

/* Wide enough for four times the machine's memory, at most MAX_ARENAS. */
static size_t window_arenas(size_t limit)
{
	size_t want = limit == SIZE_MAX ? 4 * sysmem_physical() : 2 * limit;
	size_t n = 1024; /* 64 GiB */

	if (limit != SIZE_MAX)
		return MIN(MAX(want >> ARENA_SHIFT, (size_t)SPARE_ARENAS),
			(size_t)MAX_ARENAS);
	while (n < MAX_ARENAS && n << ARENA_SHIFT < want)
		n *= 2;
	return n;
}

/*
 * Where the window may begin, best first, and how many bits of an arena number
 * are chosen at random.
 */
static const struct place {
	uintptr_t low;
	unsigned bits;
} places[] = {
	/*
	 * Between 1 and 5 TiB: away from Go's own heap (0xc000000000), from
	 * PIE and mmap areas near the top, and within what Valgrind lets a
	 * program have (below 16 TiB).
	 */
	{(uintptr_t)1 << 40, 16},
	/* Free under ThreadSanitizer, and in address spaces of 39 bits. */
	{(uintptr_t)1 << 36, 8},
	/* Free under AddressSanitizer. */
	{(uintptr_t)1 << 45, 16},
};

/*
 * Programs are full of small numbers in pairs, and to the collector {0, 300}
 * is the word 300 << 32. So a heap does not begin near a multiple of 4 GiB: up
 * to a gigabyte and more it is out of reach for pairs of which the first is
 * below 2^30 (nanoseconds, too) or slightly below zero.
 */
static uintptr_t away_from_pairs(uintptr_t base)
{
	const uintptr_t gib = (uintptr_t)1 << 30;
	uintptr_t low = base % (4 * gib);

	if (low < gib)
		return base + gib;
	return low < 5 * gib / 2 ? base : base - 3 * gib / 2;
}

/* Sanitizers fill whole terabytes: is there room at base? */
static bool vacant(uintptr_t base)
{
	void *p = sysmem_map((void *)base, OS_PAGE, SYS_HEAP);

	if (p)
		sysmem_unmap(p, OS_PAGE, SYS_HEAP);
	return p != NULL;
}

static uintptr_t choose_base(void)
{
	const unsigned char *r = (const void *)getauxval(AT_RANDOM);
	uintptr_t base = 0;
	uint64_t bits = 0;

	if (r)
		memcpy(&bits, r + 8, sizeof(bits));
	bits *= 0x9e3779b97f4a7c15; /* the libc's canary uses these too */
	for (unsigned i = 0; i < NELEM(places); i++) {
		base = places[i].low +
			((bits >> (64 - places[i].bits)) << ARENA_SHIFT);
		base = away_from_pairs(base);
		if (vacant(base))
			break;
	}
	return base; /* no luck: arena_grow() goes on looking from here */
}

bool arena_init(void)
{
	size_t limit = sysmem_address_limit();

	window.max_arenas = window_arenas(limit);
	window.grow = limit == SIZE_MAX ? 4 * MIB : MIB;
	window_base = choose_base();
	window.next = window_base;
	window.code_cap = ALIGN_UP(
		window.max_arenas * ARENA_PAGES * sizeof(uint16_t),
		(size_t)OS_PAGE);
	window_code = sysmem_reserve(window.code_cap);
	return window_code != NULL;
}

/* Tables for all arenas up to the one that holds page last. */
static bool cover(size_t last)
{
	size_t size = ALIGN_UP(sizeof(struct arena), (size_t)OS_PAGE);

	while (window_npages <= last) {
		struct arena *a = sysmem_map(NULL, size, SYS_GC);

		if (!a)
			return false;
		if (!sysmem_commit(window_code + window_npages,
			    ARENA_PAGES * sizeof(uint16_t), SYS_GC)) {
			sysmem_unmap(a, size, SYS_GC);
			return false;
		}
		memset(a->inuse, 0xff, sizeof(a->inuse));
		/* release [arena]: pairs with arena_span(). */
		store_release(&arenas[window.narenas], a);
		window.narenas++;
		store_relaxed(&window_npages, window.narenas * ARENA_PAGES);
	}
	return true;
}

static void mark_fresh(size_t page, size_t npages)
{
	for (size_t i = page; i < page + npages; i++) {
		struct arena *a = arenas[i / ARENA_PAGES];
		size_t k = i % ARENA_PAGES;

		if (k % 64 == 0 && page + npages - i >= 64) {
			a->inuse[k / 64] = 0;
			a->scav[k / 64] = ~(uint64_t)0;
			i += 63;
			continue;
		}
		a->inuse[k / 64] &= ~((uint64_t)1 << k % 64);
		a->scav[k / 64] |= (uint64_t)1 << k % 64;
	}
}

size_t arena_grow(size_t npages, size_t *got)
{
	uintptr_t end = window_base + window.max_arenas * ARENA_SIZE;
	size_t want = ALIGN_UP(npages << PAGE_SHIFT, window.grow);

	while (window.next + want <= end) {
		size_t page = arena_page(window.next);
		size_t before = sysmem_sys(SYS_HEAP);

		if (!cover(arena_page(window.next + want - 1)))
			return SIZE_MAX;
		if (sysmem_map((void *)window.next, want, SYS_HEAP)) {
			window.next += want;
			*got = want >> PAGE_SHIFT;
			mark_fresh(page, *got);
			return page;
		}
		/*
		 * No memory, or somebody lives there. Only the latter is worth
		 * a step: see if a single page can be had elsewhere.
		 */
		void *probe = sysmem_map(NULL, want, SYS_HEAP);

		if (!probe)
			return SIZE_MAX;
		sysmem_unmap(probe, want, SYS_HEAP);
		DEBUG_ASSERT(before == sysmem_sys(SYS_HEAP));
		(void)before;
		window.next = ALIGN_UP(window.next + 1, ARENA_SIZE);
	}
	return SIZE_MAX;
}

void arena_shed(size_t limit)
{
	/* As much again as may still be mapped, plus a few for gaps. */
	size_t n = window.narenas + MIN(limit >> ARENA_SHIFT,
		(size_t)MAX_ARENAS) + SPARE_ARENAS;
	size_t keep = ALIGN_UP(n * ARENA_PAGES * sizeof(uint16_t),
		(size_t)OS_PAGE);

	if (!window_code || n >= window.max_arenas)
		return;
	sysmem_unreserve((char *)window_code + keep, window.code_cap - keep);
	window.code_cap = keep;
	window.max_arenas = n;
	window.grow = MIB;
}

void arena_idle(size_t arena)
{
	struct mspan **spans = arenas[arena]->spans;
	uintptr_t lo = ALIGN_UP((uintptr_t)spans, (uintptr_t)OS_PAGE);
	uintptr_t hi = ALIGN_DOWN((uintptr_t)(spans + ARENA_PAGES),
		(uintptr_t)OS_PAGE);

	sysmem_release((void *)lo, hi - lo);
	sysmem_release(window_code + arena * ARENA_PAGES,
		ARENA_PAGES * sizeof(*window_code));
}
