/* SPDX-License-Identifier: MIT */
/*
 * pages: the page table, as far as a process may see it.
 *
 * Reading memory that has no page gives it one: a terabyte that somebody has
 * reserved would cost gigabytes of page tables and minutes. So the kernel is
 * asked first. Three ways, the best that works is kept:
 *
 *	PAGEMAP_SCAN   walks the page table, skips what has none, and gives runs
 *	pagemap        64 bits a page, holes included: 2 s for a terabyte
 *	mincore        8 bits a page, but does not know what is swapped out
 *
 * A walk asks for a bufferful at a time; runs that touch are joined here, since
 * an answer may end in the middle of one.
 *
 * Rejected: smaps (walks the table of every mapping, tens of ms for 1 GiB).
 */
#include "os/pages.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <fcntl.h>

/* Linux 6.7; not in every header. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL 0xc0606610 /* _IOWR('f', 16, struct scan_arg) */

enum {
	IS_FILE = 1 << 2,
	IS_PRESENT = 1 << 3,
	IS_SWAPPED = 1 << 4,
	IS_ZERO = 1 << 5, /* the kernel's page of zeroes */
	IS_HUGE = 1 << 6,

	/* Bits of an entry of pagemap. */
	ENTRY_FILE = 61,
	ENTRY_IN_MEMORY = 62, /* present or swapped */
};

void pages_open(struct pages *p)
{
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/thread-self/pagemap",
		O_RDONLY | O_CLOEXEC, 0);

	p->fd = sys_failed(fd) ? -1 : (int)fd;
	p->how = p->fd < 0 ? PAGES_MINCORE : PAGES_SCAN;
	p->at = p->hi = 0;
	p->next = p->n = 0;
}

void pages_close(struct pages *p)
{
	if (p->fd >= 0)
		sys1(SYS_close, p->fd);
	p->fd = -1;
}

void pages_begin(
	struct pages *p, uintptr_t lo, uintptr_t hi, enum pages_which which)
{
	p->at = lo;
	p->hi = hi;
	p->which = which;
	p->next = p->n = 0;
}

static bool ask_scan(struct pages *p)
{
	uint64_t not = IS_ZERO | (p->which == PAGES_ANY ? 0 : IS_FILE) |
		(p->which == PAGES_SMALL ? IS_HUGE : 0);
	struct scan_arg a = {.size = sizeof(a),
		.start = p->at,
		.end = p->hi,
		.vec = (uintptr_t)p->u.region,
		.vec_len = NELEM(p->u.region),
		.inverted = not,
		.mask = not,
		.anyof_mask = IS_PRESENT | IS_SWAPPED,
		.return_mask = IS_PRESENT};
	long n = sys3(SYS_ioctl, p->fd, PAGEMAP_SCAN_IOCTL, &a);

	if (sys_failed(n) || a.walk_end <= p->at)
		return false;
	p->n = (size_t)n;
	p->at = a.walk_end;
	return true;
}

static bool ask_pagemap(struct pages *p)
{
	size_t n = MIN((p->hi - p->at) / OS_PAGE, NELEM(p->u.entry));
	long got = sys4(
		SYS_pread64, p->fd, p->u.entry, n * 8, p->at / OS_PAGE * 8);

	if (got < 8)
		return false;
	p->base = p->at;
	p->n = (size_t)got / 8;
	p->at += p->n * OS_PAGE;
	return true;
}

static void ask_mincore(struct pages *p)
{
	size_t n = MIN((p->hi - p->at) / OS_PAGE, NELEM(p->u.vec));

	if (sys_failed(sys3(SYS_mincore, p->at, n * OS_PAGE, p->u.vec)))
		for (size_t i = 0; i < n; i++)
			p->u.vec[i] = 1;
	p->base = p->at;
	p->n = n;
	p->at += n * OS_PAGE;
}

/* More answers; false: there is nothing left to ask for. */
static bool ask(struct pages *p)
{
	p->next = p->n = 0;
	if (p->at >= p->hi)
		return false;
	if (p->how == PAGES_SCAN && ask_scan(p))
		return true;
	if (p->how == PAGES_SCAN)
		p->how = PAGES_PAGEMAP;
	if (p->which == PAGES_SMALL)
		return false;
	if (p->how == PAGES_PAGEMAP && ask_pagemap(p))
		return true;
	p->how = PAGES_MINCORE;
	ask_mincore(p);
	return true;
}

static bool has_memory(const struct pages *p, size_t i)
{
	uint64_t e;

	if (p->how == PAGES_MINCORE)
		return p->u.vec[i] & 1;
	e = p->u.entry[i];
	return e >> ENTRY_IN_MEMORY &&
	       !(p->which == PAGES_OWN && e >> ENTRY_FILE & 1);
}

/* The next run in the answers at hand. */
static bool take(struct pages *p, uintptr_t *lo, uintptr_t *hi)
{
	size_t i = p->next;

	if (p->how == PAGES_SCAN) {
		if (i == p->n)
			return false;
		*lo = p->u.region[i].start;
		*hi = p->u.region[i].end;
		p->next++;
		return true;
	}
	while (i < p->n && !has_memory(p, i))
		i++;
	*lo = p->base + i * OS_PAGE;
	while (i < p->n && has_memory(p, i))
		i++;
	*hi = p->base + i * OS_PAGE;
	p->next = i;
	return *lo < *hi;
}

bool pages_next(struct pages *p, uintptr_t *lo, uintptr_t *hi)
{
	uintptr_t more_lo, more_hi;

	while (!take(p, lo, hi))
		if (!ask(p))
			return false;
	for (;;) {
		size_t before = p->next;

		if (!take(p, &more_lo, &more_hi)) {
			/* Nothing behind the run, or nothing known yet. */
			if (p->at != *hi || !ask(p))
				return true;
			continue;
		}
		if (more_lo != *hi) {
			p->next = before;
			return true;
		}
		*hi = more_hi;
	}
}
