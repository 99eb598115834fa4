/* SPDX-License-Identifier: MIT */
/*
 * runcache: freed large spans, kept whole for the next request of their size.
 *
 * Programs that turn over blocks of 40 KiB to 1 MiB ask for the same page
 * counts again and again. Finding and joining pages in the bitmap takes some
 * 200 ns a pair; taking a span off a list takes a tenth of that.
 *
 *	head[npages] --> span --> span        state MSPAN_CACHED, code 0,
 *	                                      still in the span table
 *
 * Pages that lie here are idle for the books and can't be joined with their
 * neighbours, so there are three bounds: their sum is no more than what is in
 * use; the heap does not grow before they have been given back to the bitmap
 * (one that is long enough first, all of them if none is); and every scavenge
 * window gives them back.
 *
 * Invariant R1: pages is the sum of npages over all lists.
 */
#include "alloc/runcache.h"
#include "base/atomics.h"

enum {
	SHARE = 1,		 /* of the heap, in pages; */
	MIN_PAGES = 4 << 7,	 /* at least 4 MiB, */
	MAX_PAGES = 64 << 7,	 /* at most 64 MiB */
};

static struct runcache {
	struct mspan *head[MAX_RUN + 1];
	size_t pages;
	uint64_t filled[(MAX_RUN + 64) / 64]; /* bit n: head[n] != NULL */
} rc;

bool runcache_put(struct mspan *s)
{
	size_t n = s->npages;
	size_t bound = MIN(MAX(mheap.pages_inuse / SHARE, (size_t)MIN_PAGES),
		(size_t)MAX_PAGES);

	if (rc.pages + n > bound)
		return false;
	s->state = MSPAN_CACHED;
	s->next = rc.head[n];
	rc.head[n] = s;
	rc.filled[n / 64] |= (uint64_t)1 << n % 64;
	rc.pages += n;
	return true;
}

struct mspan *runcache_take(size_t npages)
{
	struct mspan *s = rc.head[npages];

	if (!s)
		return NULL;
	rc.head[npages] = s->next;
	if (!s->next)
		rc.filled[npages / 64] &= ~((uint64_t)1 << npages % 64);
	rc.pages -= npages;
	s->state = MSPAN_LARGE;
	s->next = NULL;
	return s;
}

struct mspan *runcache_pop(size_t npages, size_t most)
{
	uint64_t mask = ~(uint64_t)0 << npages % 64;

	for (size_t w = npages / 64; w < NELEM(rc.filled); w++) {
		uint64_t bits = rc.filled[w] & mask;

		if (bits) {
			size_t n = w * 64 + (size_t)__builtin_ctzll(bits);

			return n <= most ? runcache_take(n) : NULL;
		}
		mask = ~(uint64_t)0;
	}
	return NULL;
}

size_t runcache_pages(void)
{
	return rc.pages;
}
