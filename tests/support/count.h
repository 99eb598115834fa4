/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_COUNT_H
#define GOSTAT_TESTS_COUNT_H

/*
 * The test's own books of mallocs and frees, by record. Every thread keeps its
 * own; they are added up when nobody allocates, and must then equal what
 * heapstats_read() says.
 */

#include "alloc/heap.h"
#include "alloc/stats.h"
#include "support/run.h"

struct count {
	uint64_t mallocs[NREC], frees[NREC];
	uint64_t bytes_in, bytes_out; /* slots: handed out, given back */
	uint64_t resized; /* in place to another record: no malloc, no free */
};

/* Record of an object by its slot; 0: above MAX_RUN. */
static inline unsigned count_rec(size_t slot)
{
	if (slot <= MAX_SMALL) {
		unsigned c = 1;

		while (sizeclasses[c].size != slot)
			c++;
		return c;
	}
	slot >>= PAGE_SHIFT;
	return slot <= MAX_RUN ? rec_of_run(slot) : 0;
}

/*
 * A slot of at most 32 KiB may be a run of pages that memalign() took; the
 * model can't tell from the size, so it is told.
 */
static inline unsigned count_rec_of(const void *p)
{
	struct mspan *s = arena_span((uintptr_t)p);

	if (s->state == MSPAN_SMALL)
		return count_rec(mspan_elemsize(s));
	return s->npages <= MAX_RUN ? rec_of_run(s->npages) : 0;
}

static inline void count_malloc(struct count *c, const void *p)
{
	c->mallocs[count_rec_of(p)]++;
	c->bytes_in += heap_usable_size(p) + mcache_slack;
}

static inline void count_free(struct count *c, const void *p)
{
	c->frees[count_rec_of(p)]++;
	c->bytes_out += heap_usable_size(p) + mcache_slack;
}

static inline void *counted_malloc(struct count *c, size_t size)
{
	void *p = heap_malloc(size);

	if (p)
		count_malloc(c, p);
	return p;
}

static inline void counted_free(struct count *c, void *p)
{
	count_free(c, p);
	heap_free(p);
}

/* What is known of an object before realloc, which may be its end. */
struct count_before {
	unsigned rec;
	size_t slot;
};

static inline struct count_before count_before(const void *p)
{
	return (struct count_before){
		count_rec_of(p), heap_usable_size(p) + mcache_slack};
}

static inline void *counted_realloc(struct count *c, void *p, size_t size)
{
	struct count_before old = count_before(p);
	void *q = heap_realloc(p, size);

	if (!q)
		return NULL;
	if (q != p) {
		c->frees[old.rec]++;
		c->bytes_out += old.slot;
		count_malloc(c, q);
	} else if (heap_usable_size(q) + mcache_slack != old.slot) {
		size_t now = heap_usable_size(q) + mcache_slack;

		if (count_rec_of(q) != old.rec) {
			c->mallocs[count_rec_of(q)]++;
			c->frees[old.rec]++;
			c->resized++;
		}
		/* Growing adds to TotalAlloc, shrinking takes from Alloc. */
		if (now > old.slot)
			c->bytes_in += now - old.slot;
		else
			c->bytes_out += old.slot - now;
	}
	return q;
}

static inline void count_add(struct count *to, const struct count *c)
{
	for (unsigned r = 0; r < NREC; r++) {
		to->mallocs[r] += c->mallocs[r];
		to->frees[r] += c->frees[r];
	}
	to->bytes_in += c->bytes_in;
	to->bytes_out += c->bytes_out;
	to->resized += c->resized;
}

/* What holds in every snapshot, whatever goes on. */
static inline void check_identities(const struct heapstats *h)
{
	uint64_t mallocs = 0, frees = 0;

	for (unsigned r = 0; r < NREC; r++) {
		MUST(h->of[r].frees <= h->of[r].mallocs);
		mallocs += h->of[r].mallocs;
		frees += h->of[r].frees;
	}
	MUST(h->frees <= h->mallocs && h->mallocs <= mallocs);
	MUST(h->frees <= frees);
	MUST_EQ(h->objects, h->mallocs - h->frees);
	MUST(h->alloc <= h->inuse && h->alloc <= h->total_alloc);
	MUST(h->released <= h->idle);
	MUST_EQ(h->inuse + h->idle, h->heap_sys);
}

/* Nobody allocates: equal to the last byte. */
static inline void check_exact(const struct count *c)
{
	struct heapstats h;
	uint64_t mallocs = 0, frees = 0;

	heapstats_read(&h);
	check_identities(&h);
	for (unsigned r = 0; r < NREC; r++) {
		if (h.of[r].mallocs != c->mallocs[r] ||
			h.of[r].frees != c->frees[r])
			ck_abort_msg("record %u: %lu mallocs, %lu frees, "
				     "should be %lu, %lu",
				r, h.of[r].mallocs, h.of[r].frees,
				c->mallocs[r], c->frees[r]);
		mallocs += c->mallocs[r];
		frees += c->frees[r];
	}
	MUST_EQ(h.mallocs, mallocs - c->resized);
	MUST_EQ(h.frees, frees - c->resized);
	MUST_EQ(h.total_alloc, c->bytes_in);
	MUST_EQ(h.alloc, c->bytes_in - c->bytes_out);
	MUST_EQ(h.inuse, mheap.pages_inuse << PAGE_SHIFT);
	MUST_EQ(h.released, mheap.pages_scav << PAGE_SHIFT);
	MUST_EQ(h.heap_sys, sysmem_sys(SYS_HEAP));
}

#endif
