/* SPDX-License-Identifier: MIT */
/*
 * letgo: memory that the copy need not hold.
 *
 *	program   writes to a page ─▶ shared? the kernel copies it: 2.1 us
 *	                              its own again? kept: at most 0.8
 *	copy      reads a block, no word leads anywhere ─▶ MADV_DONTNEED
 *
 * What the program pays for a cycle is the pages that it writes while the copy
 * has them, too. Large objects that are written all the time are buffers and
 * arrays of numbers, mostly, in which there is nothing to mark. So the first
 * thing that the copy does is to look through all large objects, as fast as
 * memory goes, and to give up each block of 2 MiB in which no word could be
 * the address of an object. If the program is slower than that, its next
 * write finds the block to be its own again: one fault, and a huge page stays
 * whole.
 *
 * It costs nothing: such a block would have been read once in any case, and its
 * page table would have been taken down at the end. Where there are pointers,
 * the look at a block ends with the first one.
 *
 * Invariants:
 *   L1  a block that is given up holds free pages and parts of large objects
 *       only, and no word of these at a multiple of four passes the marker's
 *       filters, nor does one that ends in the next block; so all that the
 *       verdict could have from it is what zeroes give, too;
 *   L2  nothing else of the copy lies in the heap, but what the program has
 *       there (stacks, its loader's tables): and what leads anywhere, stays.
 *
 * Rejected, for 64 MiB written beside a copy that lives (35 ms of faults, and
 * 17 ms to put the huge pages together again): MADV_POPULATE_WRITE for each
 * block in the program, 29 ms and 17; MADV_COLLAPSE first, 36 ms and more. What
 * is given up in time costs 0.7 ms, and nothing later. Rejected: to give up
 * large objects with pointers when they have been scanned; their pieces take
 * turns with all other spans and are done when nearly everything is. Rejected:
 * small objects. A block of them without one pointer is rare.
 */
#include "gc/letgo.h"
#include "alloc/hugepage.h"
#include "gc/mark_kernel.h"
#include "os/pages.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <string.h>
#include <sys/mman.h>

enum { STEP = 16 << 10 }; /* bytes that pass both filters in turn */

/*
 * Bytes that are read at most, here and by one thread. What the program writes
 * all the time it has written by then.
 */
#define MOST (1024 * MIB)

struct look {
	const struct mark_kernel *kernel;
	struct filter near, far; /* range 0: nothing passes */
	struct pages pages;
	size_t left; /* bytes that may still be read */
};

static void begin(
	struct look *k, const struct rootset *rs, const struct mark_options *o)
{
	const struct root_mapping *map = rootset_mappings(rs);
	size_t n = o->no_mappings ? 0 : rs->mappings.n;
	uint64_t mask = ~(uint64_t)0 >> o->tag_bits;

	k->kernel = marker_best();
	k->near = (struct filter){mask, window_base, window.next - window_base};
	k->far = (struct filter){mask, 0, 0};
	if (n) {
		k->far.lo = map[0].lo;
		k->far.range = map[n - 1].hi - map[0].lo;
	}
	k->left = MOST;
	pages_open(&k->pages);
}

/* Does no word of what has memory in [lo, hi) lead anywhere? */
static bool leads_nowhere(struct look *k, uintptr_t lo, uintptr_t hi)
{
	uintptr_t at, end, stop;

	pages_begin(&k->pages, lo, hi, PAGES_ANY);
	while (pages_next(&k->pages, &at, &end))
		for (; at < end; at = stop) {
			stop = MIN(at + STEP, end);
			k->left -= MIN(k->left, stop - at);
			if (!k->kernel->clear(k->near, at, stop) ||
				(k->far.range &&
					!k->kernel->clear(k->far, at, stop)))
				return false;
		}
	return true;
}

static bool page_is_free(const struct arena *a, size_t page)
{
	return !(a->inuse[page / 64] >> page % 64 & 1);
}

/*
 * Where the thing at this page ends if it need not be kept, within the block
 * that ends at end; 0: it must be.
 */
static size_t pass(struct look *k, size_t page, size_t end)
{
	const struct arena *a = arenas[page / ARENA_PAGES];
	const struct mspan *s;
	uintptr_t hi;

	if (!a)
		return 0;
	if (page_is_free(a, page % ARENA_PAGES))
		return page + 1;
	s = arena_span(arena_addr(page));
	if (!s || (s->state != MSPAN_LARGE && s->state != MSPAN_CACHED))
		return 0;
	end = MIN(end, arena_page(s->base) + s->npages);
	/* A word may begin in this block and end in the next. */
	hi = MIN(arena_addr(end) + OS_PAGE, s->base + mspan_bytes(s));
	if (s->state == MSPAN_LARGE && !leads_nowhere(k, arena_addr(page), hi))
		return 0;
	return end;
}

static bool look_through(struct look *k, size_t block)
{
	size_t page = block * BLOCK_PAGES, end = page + BLOCK_PAGES;

	while (page < end) {
		size_t next = pass(k, page, end);

		if (!next)
			return false;
		page = next;
	}
	return true;
}

void letgo(
	struct letgo *g, const struct rootset *rs, const struct mark_options *o)
{
	struct look k;

	memset(g, 0, sizeof(*g));
	if (o->unaligned || !window.next)
		return;
	g->nblocks = (window.next - window_base) / HUGE_PAGE;
	g->bytes = ALIGN_UP(g->nblocks / 8 + 8, (size_t)OS_PAGE);
	g->block = sysmem_map(NULL, g->bytes, SYS_GC);
	if (!g->block)
		return;
	begin(&k, rs, o);
	for (size_t b = 0; b < g->nblocks && k.left; b++) {
		if (!look_through(&k, b))
			continue;
		if (sys_failed(sys3(SYS_madvise, arena_addr(b * BLOCK_PAGES),
			    HUGE_PAGE, MADV_DONTNEED)))
			continue;
		g->block[b / 64] |= (uint64_t)1 << b % 64;
	}
	pages_close(&k.pages);
}

void letgo_free(struct letgo *g)
{
	if (g->block)
		sysmem_unmap(g->block, g->bytes, SYS_GC);
	g->block = NULL;
}

bool letgo_covers(const struct letgo *g, uintptr_t lo, uintptr_t hi)
{
	size_t b = (lo - window_base) / HUGE_PAGE;
	size_t last = (hi - 1 - window_base) / HUGE_PAGE;

	if (!g->block)
		return false;
	while (b <= last && b < g->nblocks && g->block[b / 64] >> b % 64 & 1)
		b++;
	return b > last;
}
