/* SPDX-License-Identifier: MIT */
/*
 * hugepage: which 2 MiB blocks of the heap ask for huge pages.
 *
 * A snapshot of 1 GiB costs 0.4 ms where the page tables hold huge pages and
 * 20 ms where they don't, and marking is 1.45 times faster; a fault that clears
 * 2 MiB at once is cheaper than 512 small ones. But a process of 200 KiB must
 * not pay 2 MiB, and a table of which the program touches one page in a hundred
 * must not become resident as a whole. So a block asks
 *
 *   - once the heap has HUGE_FROM bytes in use,
 *   - when a span of small objects begins to use untouched pages of it: such
 *     spans are packed by address and fill up,
 *   - until the scavenger takes pages out of it again (else khugepaged would
 *     put them back).
 *
 * What was used before that, and what the program has written to beside a copy of
 * the process, lies in small pages; hugepage_mend() puts it together, a little
 * after each cycle. Only where nearly every page has memory, so that it costs
 * none: one page that was never touched leaves 511 others to be copied at each
 * clone, 40 us of the pause.
 *
 * Large objects never ask: they may be sparse (blocks of 8 to 256 KiB of which
 * the first byte is written took twice the time when they did). Where the
 * administrator has said "never", all of this is advice that is not taken.
 */
#include "alloc/hugepage.h"
#include "alloc/mheap.h"
#include "base/atomics.h"
#include "os/pages.h"
#include "os/syscall.h"

#include <fcntl.h>
#include <string.h>

#define HUGE_FROM (32 * MIB)

enum { HOLES = 4 * OS_PAGE }; /* bytes that get memory by mending 2 MiB */

_Static_assert(ARENA_PAGES / BLOCK_PAGES == 32, "bits of arena.huge");

static uint32_t *word(size_t block, uint32_t *bit)
{
	size_t page = block * BLOCK_PAGES;

	*bit = (uint32_t)1 << block % 32;
	return &arenas[page / ARENA_PAGES]->huge;
}

void hugepage_want(size_t page, size_t npages)
{
	uint32_t bit, *w;

	if (mheap.pages_inuse < HUGE_FROM >> PAGE_SHIFT)
		return;
	for (size_t b = page / BLOCK_PAGES;
		b <= (page + npages - 1) / BLOCK_PAGES; b++) {
		w = word(b, &bit);
		if (*w & bit)
			continue;
		*w |= bit;
		sysmem_hugepage((void *)arena_addr(b * BLOCK_PAGES), HUGE_PAGE,
			true);
	}
}

bool hugepage_asked(size_t page)
{
	uint32_t bit, *w = word(page / BLOCK_PAGES, &bit);

	return *w & bit;
}

void hugepage_broken(size_t page, size_t npages)
{
	uint32_t bit, *w;

	for (size_t b = page / BLOCK_PAGES;
		b <= (page + npages - 1) / BLOCK_PAGES; b++) {
		w = word(b, &bit);
		if (!(*w & bit))
			continue;
		*w &= ~bit;
		sysmem_hugepage((void *)arena_addr(b * BLOCK_PAGES), HUGE_PAGE,
			false);
	}
}

/* The administrator's word: MADV_COLLAPSE would not ask. */
static bool forbidden(void)
{
	char buf[64];
	long fd = sys4(SYS_openat, AT_FDCWD,
		"/sys/kernel/mm/transparent_hugepage/enabled",
		O_RDONLY | O_CLOEXEC, 0);
	long n;

	if (sys_failed(fd))
		return true;
	n = sys3(SYS_read, fd, buf, sizeof(buf) - 1);
	sys1(SYS_close, fd);
	buf[sys_failed(n) ? 0 : n] = '\0';
	return !buf[0] || strstr(buf, "[never]");
}

/* Whole blocks of [lo, hi), from the next one on. Returns how many. */
static unsigned mend(uintptr_t lo, uintptr_t hi, unsigned most)
{
	unsigned n = 0;

	lo = ALIGN_UP(lo, (uintptr_t)HUGE_PAGE);
	for (; lo + HUGE_PAGE <= hi && n < most; lo += HUGE_PAGE, n++)
		if (!sysmem_collapse((void *)lo, HUGE_PAGE))
			break;
	return n;
}

/* What lies in small pages in [lo, hi). Returns how many blocks may follow. */
static unsigned mend_within(
	struct pages *p, uintptr_t lo, uintptr_t hi, unsigned most)
{
	uintptr_t from = 0, to = 0, holes = 0; /* runs with few holes so far */

	pages_begin(p, lo, hi, PAGES_SMALL);
	while (most && pages_next(p, &lo, &hi)) {
		if (lo - to > HOLES - holes) {
			most -= mend(from, to, most);
			from = lo;
			holes = 0;
		} else {
			holes += lo - to;
		}
		to = hi;
	}
	return most - mend(from, to, most);
}

void hugepage_mend(unsigned most)
{
	size_t bytes = load_relaxed(&mheap.pages_inuse) << PAGE_SHIFT;
	struct pages p;
	uintptr_t lo, hi;

	if (bytes < 2 * HUGE_FROM || forbidden())
		return;
	pages_open(&p);
	for (size_t i = 0; i < load_relaxed(&window.narenas) && most; i++) {
		lo = arena_addr(i * ARENA_PAGES);
		hi = MIN(lo + ARENA_SIZE, load_relaxed(&window.next));
		if (!load_relaxed(&arenas[i]) || hi <= lo)
			continue;
		most = mend_within(&p, lo, hi, most);
	}
	pages_close(&p);
}
