/* SPDX-License-Identifier: MIT */
/*
 * peak: a heap that has never been so large.
 *
 * Freed memory is kept in many places so that the next malloc finds it fast:
 * large objects in magazines and in the runcache, idle pages between spans. A
 * heap of constant size pays nothing for that. One that grows would take pages
 * from the kernel while all these are unused:
 *
 *	memory  |            ______ with all that is kept
 *	        |       ____/
 *	        |   ___/  .......... in use
 *	        |__/......
 *	        |./                  python3, JSON documents: 16 % of the peak
 *	        +-----------> time   php, arrays: 12 %
 *
 * So at a new peak of pages with memory, which lie 1/64 apart, the runcache and
 * the large magazines are emptied (each thread's own at its next miss: count
 * tells it to), and idle pages beyond 1/16 of the heap go back.
 *
 * Pages that go back and come again cost a fault each. A program that turns over
 * blocks of all sizes would pay that for ever, so there is an allowance by the
 * time that has passed, at most 5 % of it. Once it is used up, the peak rises.
 * (Four times as much as at first: python3's peak is 1.05 of glibc's instead of
 * 1.15, and no row of scripts/bench got slower.)
 *
 * Invariant: K1 peak.pages is no less than pages in use and idle were at the
 * last peak.
 *
 * Lock: mheap.lock. count is read without it.
 *
 * Rejected: doing so whenever pages without memory are taken (random blocks of
 * 8 to 256 KiB took 20 times as long); letting each peak be the new measure
 * without an allowance (the heap creeps up to what it was before within a
 * tenth of a second).
 */
#include "alloc/peak.h"
#include "alloc/mheap.h"
#include "alloc/scavenge.h"
#include "base/atomics.h"

enum {
	STEP = 64,	  /* a new peak is higher by this share of the old one */
	STEP_MIN = 8,	  /* and so many pages */
	DECAY = 8,	  /* share of what it is too high, once a window */
	IDLE_SHARE = 16,  /* of the heap may be idle at a peak, */
	IDLE_MIN = 64,	  /* or so many pages */
	PAGES_PER_MS = 32, /* may go back; some 1.5 us each */
};

struct peak peak;
static uint64_t last_ms;
static int64_t allowance; /* pages; negative: more went than was wanted */

static size_t with_memory(void)
{
	return mheap.pages_inuse + mheap.pages_idle;
}

static size_t spare(void)
{
	return MAX(mheap.pages_inuse / IDLE_SHARE, (size_t)IDLE_MIN);
}

bool peak_reached(void)
{
	int64_t most = (int64_t)MAX(mheap.pages_inuse / 4, (size_t)IDLE_MIN);
	uint64_t now;

	if (likely(with_memory() <= peak.pages + peak.pages / STEP + STEP_MIN))
		return false;
	now = scavenge_now_ms();
	if (last_ms)
		allowance += (int64_t)((now - last_ms) * PAGES_PER_MS);
	allowance = MIN(allowance, most);
	last_ms = now;
	if (allowance < IDLE_MIN) {
		peak_settle(0);
		return false;
	}
	store_relaxed(&peak.count, peak.count + 1);
	return true;
}

size_t peak_excess(void)
{
	size_t keep = spare(), idle = mheap.pages_idle;

	return idle > keep ? MIN(idle - keep, (size_t)allowance) : 0;
}

void peak_settle(size_t npages)
{
	allowance -= (int64_t)npages;
	peak.pages = MAX(peak.pages, with_memory());
}

void peak_forget(void)
{
	size_t pages = with_memory();

	if (peak.pages > pages)
		peak.pages -= (peak.pages - pages) / DECAY;
}
