/* SPDX-License-Identifier: MIT */
/*
 * unforked: memory that the program keeps out of copies of its process.
 *
 * Two kinds of programs ask for it with madvise(), and a snapshot needs both:
 *
 *	V8	  MADV_DONTFORK for every page of its heap when it is reserved,
 *		  so that fork is cheap. Thousands of pages. They are let into
 *		  the copy for the moment in which it is made:
 *			stop, DOFORK each, clone, DONTFORK each, start
 *	drivers	  MADV_DONTFORK for buffers that a device writes to, and
 *	keys	  MADV_WIPEONFORK: few. Read in the pause (roots_shared.c).
 *
 * The first kind is told by being unreadable when the advice is given: a buffer
 * is there when a device is told about it.
 *
 * To write the advice down anew is right only while it is still the same
 * memory. So unmapping takes a range, or a part of it, off the list, and does
 * that first. (Memory that goes another way than through libc's munmap() is not
 * noticed: nobody reserves with the one and gives back with the other.)
 *
 * The list is an array without a lock, since madvise() and munmap() may be
 * called by signal handlers, and under locks of libraries that we use:
 *
 *	lo == 0: free	lo == BUSY: being filled in	else [lo, hi) or empty
 *
 * A range only shrinks, with one store at a time, so who is stopped in the
 * middle leaves a part of it; two threads never unmap the same memory.
 *
 * Rejected: not to follow the advice. Node with 270 MB took 70 ms to start a
 * child, in place of 15. Rejected: smaps, which tells but walks all page
 * tables.
 */
#include "gc/unforked.h"
#include "base/atomics.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <sys/mman.h>

enum { RANGES = 1 << 14, BUSY = 1 };

struct range {
	uintptr_t lo, hi;
	uint64_t empty;
};
enum { BYTES = RANGES * sizeof(struct range) };

uint32_t unforked_n; /* used at some time: [0, n) */
uint64_t unforked_unknown;

static struct range *range; /* mapped when it is needed */

static struct range *table(void)
{
	/* acquire [unforked]: it is zero, as mapped. */
	struct range *r = load_acquire(&range), *none = NULL;

	if (r)
		return r;
	r = sysmem_map(NULL, BYTES, SYS_GC);
	if (!r)
		return NULL;
	/* release [unforked]: pairs with the load above. */
	if (cas_release(&range, &none, r))
		return r;
	sysmem_unmap(r, BYTES, SYS_GC);
	return none;
}

static void raise_n(uint32_t to)
{
	uint32_t n = load_relaxed(&unforked_n);

	while (n < to && !cas_relaxed(&unforked_n, &n, to))
		;
}

void unforked_add(uintptr_t lo, uintptr_t hi, bool empty)
{
	struct range *r = table();

	for (uint32_t i = 0; r && i < RANGES; i++) {
		uintptr_t none = 0;

		if (load_relaxed(&r[i].lo) ||
			!cas_relaxed(&r[i].lo, &none, (uintptr_t)BUSY))
			continue;
		raise_n(i + 1);
		store_relaxed(&r[i].hi, hi);
		store_relaxed(&r[i].empty, empty);
		/* release [range]: pairs with get(). */
		store_release(&r[i].lo, lo);
		return;
	}
	/* relaxed: once there is one, cycles don't reclaim any more. */
	add_relaxed(&unforked_unknown, hi - lo);
}

static bool get(uint32_t i, struct range *r)
{
	/* acquire [range]: hi and empty belong to it. */
	r->lo = load_acquire(&range[i].lo);
	r->hi = load_relaxed(&range[i].hi);
	r->empty = load_relaxed(&range[i].empty);
	return r->lo > BUSY && r->lo < r->hi;
}

void unforked_remove(uintptr_t lo, uintptr_t hi)
{
	uint32_t n = load_relaxed(&unforked_n);
	struct range r;

	for (uint32_t i = 0; i < n; i++) {
		if (!get(i, &r) || hi <= r.lo || lo >= r.hi)
			continue;
		if (lo > r.lo) {
			store_relaxed(&range[i].hi, lo);
			if (hi < r.hi)
				unforked_add(hi, r.hi, r.empty);
		} else {
			store_relaxed(&range[i].lo, hi < r.hi ? hi : 0);
		}
	}
}

bool unforked_lost(uint32_t i, uintptr_t *lo, uintptr_t *hi)
{
	struct range r;

	if (!get(i, &r) || r.empty)
		return false;
	*lo = r.lo;
	*hi = r.hi;
	return true;
}

bool unforked_overlaps(uintptr_t lo, uintptr_t hi)
{
	struct range r;

	for (uint32_t i = 0; i < unforked_n; i++)
		if (get(i, &r) && r.lo < hi && lo < r.hi)
			return true;
	return false;
}

static void advise_all(int advice)
{
	struct range r;

	for (uint32_t i = 0; i < unforked_n; i++)
		if (get(i, &r) && r.empty)
			sys3(SYS_madvise, r.lo, r.hi - r.lo, advice);
}

void unforked_admit(void)
{
	advise_all(MADV_DOFORK);
}

void unforked_expel(void)
{
	advise_all(MADV_DONTFORK);
}

void unforked_postfork_child(void)
{
	for (uint32_t i = 0; i < unforked_n; i++)
		range[i].lo = 0;
	unforked_n = 0;
	unforked_unknown = 0;
}
