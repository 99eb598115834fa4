/* SPDX-License-Identifier: MIT */
/*
 * stackrange: pages of stack that are known to be readable.
 *
 * An unwinder follows addresses that it computed from unwind tables which may
 * be wrong, or guessed. So it reads only inside a range that is known to be
 * mapped, and this is where the range comes from. The kernel is asked page by
 * page, as the walk gets there: a futex call that would move no waiter to
 * nowhere, if only the word had a certain value, reads the word first and says
 * EFAULT if it can't. Any process may call futex, under seccomp, too.
 *
 *	... [ guard ][ unknown | lo ... known ... hi | unknown ][ thread's TLS ]
 *	                         ^SP
 *
 * A thread has one stack as a rule, but coroutines and alternate signal
 * stacks exist, and SP may be on a new one at any call. The last four are
 * remembered; each costs a system call for each page that frames lie on.
 *
 * Stacks are unmapped, too. Threads cannot look into each other's ranges, so
 * seen[] has a bit for the hash of each 2 MiB in which there was a page of
 * stack, and an unmapping that hits one starts a new epoch.
 *
 * Invariants:
 *   I1  a page in a range was readable at some time in this epoch, and its
 *       bit in seen[] is set;
 *   I2  ranges begin and end on a page boundary and do not overlap.
 *
 * Rejected: /proc/self/maps. It takes 30 to 500 microseconds, is absent in
 * some sandboxes, and shows neighbouring mappings as one, so that a range
 * would outlive the stack. pthread_getattr_np allocates and reads that file.
 * rt_sigprocmask with an impossible first argument is 0.06 us faster, but is
 * not what one expects an allocator to call.
 */
#include "profile/stackrange.h"
#include "base/atomics.h"
#include "base/syscall.h"
#include "os/sandbox.h"
#include "os/sysmem.h"

#include <errno.h>
#include <linux/futex.h>

enum {
	REGION_SHIFT = 21,
	NREGION = 4096, /* bits: with 100 stacks, 1 unmapping in 40 errs */

	/* Any other would do, and does no harm if it is there. */
	UNLIKELY_VALUE = 0x5eedf00d,
};

uint32_t stackrange_epoch = 1;

static uint64_t seen[NREGION / 64];

static uint64_t *region(uintptr_t n, uint64_t *bit)
{
	n = (n ^ n >> 12) % NREGION;
	*bit = (uint64_t)1 << n % 64;
	return &seen[n / 64];
}

void stackrange_unmapped(uintptr_t lo, uintptr_t hi)
{
	uintptr_t first = lo >> REGION_SHIFT;
	uintptr_t last = (hi - 1) >> REGION_SHIFT;
	bool hit = last - first >= NREGION;
	uint64_t bit;

	for (uintptr_t n = first; n <= last && !hit; n++)
		hit = load_relaxed(region(n, &bit)) & bit;
	/* relaxed: whoever runs on that memory is in trouble anyhow. */
	if (hit)
		add_relaxed(&stackrange_epoch, 1);
}

bool stackrange_readable(uintptr_t addr)
{
	return sandboxed != SANDBOX_STRICT &&
	       sys6(SYS_futex, (long)addr, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0,
		       (long)addr, UNLIKELY_VALUE) != -EFAULT;
}

/* Bring range i of old[] to the front. */
static void use(struct stackrange *s, size_t i)
{
	uintptr_t lo = s->old[i].lo, hi = s->old[i].hi;

	for (; i; i--)
		s->old[i] = s->old[i - 1];
	s->old[0].lo = s->lo;
	s->old[0].hi = s->hi;
	s->lo = lo;
	s->hi = hi;
}

/* Add a page to the range it borders on, else start a new one. */
static void add_page(struct stackrange *s, uintptr_t page)
{
	uintptr_t end = page + OS_PAGE;
	uint64_t bit, *word = region(page >> REGION_SHIFT, &bit);
	size_t i;

	or_relaxed(word, bit);
	for (i = 0; i < NELEM(s->old); i++)
		if (s->old[i].hi == page || s->old[i].lo == end)
			break;
	if (page != s->hi && end != s->lo)
		use(s, MIN(i, NELEM(s->old) - 1));
	if (page == s->hi)
		s->hi = end;
	else if (end == s->lo)
		s->lo = page;
	else {
		s->lo = page;
		s->hi = end;
	}
	/* The page may have closed the gap to another one. */
	for (i = 0; i < NELEM(s->old); i++) {
		if (s->old[i].lo == s->hi)
			s->hi = s->old[i].hi;
		else if (s->old[i].hi == s->lo)
			s->lo = s->old[i].lo;
		else
			continue;
		s->old[i].lo = s->old[i].hi = 0;
	}
}

/* Copies do not change and are not asked for. */
static bool find_piece(struct stackrange *s, uintptr_t addr)
{
	for (size_t i = 0; i < s->npieces; i++) {
		const struct stackpiece *p = &s->piece[i];

		if (addr & 7 || addr - p->lo >= p->hi - p->lo)
			continue;
		s->lo = p->lo;
		s->hi = p->hi;
		s->shift = (uintptr_t)p->copy - p->lo;
		return true;
	}
	return false;
}

bool stackrange_find(struct stackrange *s, uintptr_t addr)
{
	uintptr_t page = ALIGN_DOWN(addr, (uintptr_t)OS_PAGE);
	/* relaxed: see stackrange_unmapped(). */
	uint32_t epoch = load_relaxed(&stackrange_epoch);

	if (s->piece)
		return find_piece(s, addr);
	if (s->epoch != epoch)
		*s = (struct stackrange){.epoch = epoch};
	if (addr & 7)
		return false;
	if (addr - s->lo < s->hi - s->lo)
		return true;
	for (size_t i = 0; i < NELEM(s->old); i++) {
		if (addr - s->old[i].lo < s->old[i].hi - s->old[i].lo) {
			use(s, i);
			return true;
		}
	}
	if (!stackrange_readable(page))
		return false;
	add_page(s, page);
	return true;
}
