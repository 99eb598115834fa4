/* SPDX-License-Identifier: MIT */
/*
 * stats: the allocator's counters, read while it runs.
 *
 * There is no counter of frees anywhere. What has been allocated is the sum of
 * the countdowns, what is not in spans is counted by the mcentrals (and by
 * mheap for large objects), what lies in magazines is their depth:
 *
 *	mallocs = sum over mcaches of loaded - left
 *	live    = out of spans - in magazines
 *	frees   = mallocs - live
 *
 * The parts are read one after the other, so a batch that moves meanwhile can
 * make live too small or too large. Slow paths mark their mcache (slow is odd,
 * and changes), so a reader sees that it was disturbed and tries again; the
 * thread that a signal handler has interrupted inside its own slow path never
 * goes on, hence the bound. What remains is clamped per class, so that the
 * identities hold whatever was read.
 *
 * Order of reads: countdowns before magazines, since a malloc in between is
 * then seen as "not yet" by both sums. Each countdown is read exactly, so
 * mallocs and total_alloc never go back.
 *
 * An object of up to MAX_RUN pages that is resized in place changes its record:
 * of[] counts it as gone from one and come to the other, the sums do not.
 */
#include "alloc/stats.h"
#include "alloc/harden.h"
#include "alloc/mcentral.h"
#include "os/sysmem.h"

#include <string.h>

enum { TRIES = 8 };

/* Changes whenever a slow path begins or ends anywhere. */
static uint64_t disturbance(bool *quiet)
{
	uint64_t sum = 0;

	*quiet = true;
	/* acquire [mcaches]: pairs with the release that lists an mcache. */
	for (struct mcache *mc = load_acquire(&mcache_all); mc; mc = mc->next) {
		/* acquire [slow]: counters are read after it. */
		uint32_t slow = load_acquire(&mc->slow);

		sum += slow;
		if (slow & 1)
			*quiet = false;
	}
	return sum;
}

static void read_mcaches(struct heapstats *h, uint64_t *cached)
{
	/* acquire [mcaches]: both walks, as in disturbance(). */
	for (struct mcache *mc = load_acquire(&mcache_all); mc; mc = mc->next) {
		h->nthreads += load_relaxed(&mc->active);
		for (unsigned r = 1; r < NREC; r++)
			h->of[r].mallocs += mcache_mallocs(mc, r);
	}
	signal_fence();
	/* acquire [mcaches] */
	for (struct mcache *mc = load_acquire(&mcache_all); mc; mc = mc->next)
		for (unsigned r = 1; r < NREC; r++)
			cached[r] += mcache_cached(mc, r);
}

/* Objects that are not in spans; those in batches are added to *cached. */
static uint64_t read_class(struct heapstats *h, unsigned r, uint64_t *cached)
{
	uint64_t out = 0;

	*cached += r < NSIZECLASS ? load_relaxed(&mcentral[0][r].batched) : 0;
	if (r >= NSIZECLASS)
		return load_relaxed(&mheap.run_out[r - NSIZECLASS + 1]);
	for (unsigned k = 0; k < 2; k++) {
		out += load_relaxed(&mcentral[k][r].out);
		h->of[r].nspans += load_relaxed(&mcentral[k][r].nspans);
		h->of[r].npages += load_relaxed(&mcentral[k][r].npages);
		h->of[r].nslots += load_relaxed(&mcentral[k][r].nslots);
	}
	return MIN(out, h->of[r].nslots);
}

static void sum_class(struct heapstats *h, unsigned r, uint64_t out,
	uint64_t cached)
{
	struct heapstats_class *c = &h->of[r];
	uint64_t live = out - MIN(out, cached);

	h->mallocs += c->mallocs;
	h->total_alloc += c->mallocs * rec_bytes(r);
	if (r >= NSIZECLASS)
		c->mallocs += load_relaxed(
			&mheap.run_resized[r - NSIZECLASS + 1]);
	/* A magazine's depth was read too early or too late. */
	live = MIN(live, c->mallocs);
	c->cached = MIN(cached, out);
	c->frees = c->mallocs - live;
	h->objects += live;
	h->alloc += live * rec_bytes(r);
	/* Spans may have come or gone since their slots were counted. */
	h->inuse += r < NSIZECLASS
		? MAX(c->npages << PAGE_SHIFT, live * rec_bytes(r))
		: out * rec_bytes(r);
}

/* Objects above MAX_RUN are counted one by one. */
static void sum_huge(struct heapstats *h)
{
	uint64_t total = load_relaxed(&mheap.huge_malloc_bytes);
	uint64_t out = load_relaxed(&mheap.huge_out_bytes), held, held_bytes;

	harden_held_huge(&held, &held_bytes);
	h->of[0].frees = load_relaxed(&mheap.huge_frees) + held;
	h->of[0].mallocs =
		MAX(load_relaxed(&mheap.huge_mallocs), h->of[0].frees);
	h->mallocs += h->of[0].mallocs;
	h->objects += h->of[0].mallocs - h->of[0].frees;
	h->total_alloc += total;
	h->alloc += out - MIN(held_bytes, out);
	h->inuse += out;
}

static void read_once(struct heapstats *h)
{
	uint64_t cached[NREC] = {0};
	uint64_t sys;

	memset(h, 0, sizeof(*h));
	read_mcaches(h, cached);
	for (unsigned r = 1; r < NREC; r++) {
		uint64_t out = read_class(h, r, &cached[r]);

		cached[r] += harden_held(r);

		sum_class(h, r, out, cached[r]);
	}
	sum_huge(h);
	h->objects = MIN(h->objects, h->mallocs);
	h->frees = h->mallocs - h->objects;
	h->total_alloc += load_relaxed(&mheap.grown_bytes);
	h->alloc = MIN(h->alloc, h->total_alloc);
	/* The rest of the mapped heap is idle, whatever was read when. */
	sys = sysmem_sys(SYS_HEAP);
	h->heap_sys = MAX(sys, h->inuse);
	h->idle = h->heap_sys - h->inuse;
	h->released = MIN((uint64_t)load_relaxed(&mheap.pages_scav)
			<< PAGE_SHIFT,
		h->idle);
}

void heapstats_read(struct heapstats *h)
{
	for (int i = 0; i < TRIES; i++) {
		bool quiet, still;
		uint64_t before = disturbance(&quiet);

		read_once(h);
		if (quiet && disturbance(&still) == before)
			break;
	}
	for (unsigned k = 0; k < NELEM(mheap.spans); k++)
		h->mspan_inuse += load_relaxed(&mheap.spans[k].inuse);
	h->mspan_inuse = MIN(h->mspan_inuse, sysmem_sys(SYS_MSPAN));
	h->mcache_inuse = MIN(h->nthreads * sizeof(struct mcache),
		sysmem_sys(SYS_MCACHE));
	h->scavenged_total = load_relaxed(&mheap.scavenged_total);
}
