/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_OBJECTS_H
#define GOSTAT_TESTS_OBJECTS_H

/*
 * A naive model of the heap: a table of objects, each full of a pattern of its
 * own, and a bit for every 8 bytes of address space that tells whether they
 * belong to somebody.
 */

#include "alloc/objinfo.h"
#include "support/count.h"
#include "support/maps.h"
#include "support/random.h"

#include <errno.h>

enum { MODEL_BYTES_SHIFT = 35 }; /* the model's window: 32 GiB */

struct obj {
	void *p;
	size_t size; /* as requested */
	uint64_t seed;
};

static uint64_t *taken;	 /* a bit for 8 bytes, by address in the window */
static bool may_refuse;	 /* NULL is an answer too */

static inline void model_init(void)
{
	size_t bytes = (size_t)1 << (MODEL_BYTES_SHIFT - 6);

	taken = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(taken != MAP_FAILED);
}

/* Claim or yield all bytes of a slot; two owners of a byte are an error. */
static inline void own(void *p, size_t size, bool take)
{
	size_t at = ((uintptr_t)p - window_base) / 8, n = (size + 7) / 8;

	MUST((uintptr_t)p >= window_base);
	MUST(at + n <= (size_t)1 << (MODEL_BYTES_SHIFT - 3));
	while (n) {
		size_t in = at % 64, part = MIN(n, 64 - in);
		uint64_t m = (part == 64 ? ~(uint64_t)0
					 : ((uint64_t)1 << part) - 1)
			<< in;

		if (take)
			MUST_EQ(or_relaxed(&taken[at / 64], m) & m, 0);
		else
			MUST_EQ(and_relaxed(&taken[at / 64], ~m) & m, m);
		at += part;
		n -= part;
	}
}

/* The pattern: all of a small object, the ends and some of a large one. */
static inline size_t stride(size_t size)
{
	return size <= 16 * KIB ? 1 : size <= 256 * KIB ? 61 : 4093;
}

static inline unsigned char pattern(const struct obj *o, size_t i)
{
	return (unsigned char)((o->seed ^ i * 0x9e3779b97f4a7c15) >> 24);
}

static inline void fill(struct obj *o, size_t from)
{
	unsigned char *b = o->p;
	size_t step = stride(o->size), i;

	for (i = ALIGN_UP(from, (size_t)64); from < MIN(i, o->size); from++)
		b[from] = pattern(o, from);
	for (i = 0; i < o->size; i += step)
		b[i] = pattern(o, i);
	for (i = o->size - MIN(o->size, 64); i < o->size; i++)
		b[i] = pattern(o, i);
}

/* After realloc, which may cut: size is the smaller one. */
static inline void check_fill(const struct obj *o, size_t size)
{
	const unsigned char *b = o->p;
	size_t step = stride(o->size), i;

	for (i = 0; i < size; i += step)
		MUST_EQ(b[i], pattern(o, i));
	for (i = o->size - MIN(o->size, 64); i < size; i++)
		MUST_EQ(b[i], pattern(o, i));
}

/* Go's slot for a request, by the definition. */
static inline size_t slot_of(size_t size)
{
	unsigned c = 1;

	/* The 8-byte steps of the table come before the slack. */
	size = (size <= SMALL_MAX ? ALIGN_UP(size, 8) : size) + mcache_slack;
	if (size > MAX_SMALL)
		return ALIGN_UP(size, (size_t)PAGE_SIZE);
	while (sizeclasses[c].size < size || c == 3)
		c++;
	return sizeclasses[c].size;
}

/* In record-all mode the request's size is known of every object. */
static inline void check_known(const struct obj *o)
{
	struct mspan *s = arena_span((uintptr_t)o->p);
	const struct objinfo *info;

	if (!mheap.record_objects)
		return;
	info = objinfo_of(s, s->state == MSPAN_LARGE
			? 0
			: mspan_index(s, (uintptr_t)o->p));
	MUST(info != NULL);
	MUST_EQ(objinfo_size(s, info), o->size);
}

static inline void appears(struct obj *o, void *p, size_t size, size_t align,
	struct rng *r)
{
	size_t usable = heap_usable_size(p);

	MUST_EQ((uintptr_t)p % align, 0);
	MUST(usable >= size);
	own(p, usable + mcache_slack, true);
	*o = (struct obj){p, size, rng_next(r)};
	check_known(o);
	fill(o, 0);
}

static inline size_t natural(size_t size)
{
	return size <= 8 ? 8 : 16;
}

static inline bool do_malloc(struct obj *o, struct count *c, struct rng *r,
	size_t size, bool zero)
{
	size_t n = zero ? 1 + rng_below(r, 4) : 1, has;
	void *p;

	if (zero)
		size = size / n * n;
	p = zero ? heap_calloc(n, size / n) : heap_malloc(size);
	if (!p) {
		MUST(may_refuse);
		return false;
	}
	if (zero)
		MUST(all_zero(p, size));
	count_malloc(c, p);
	has = heap_usable_size(p) + mcache_slack;
	/* A large object may be one that lay at hand. */
	MUST(has == slot_of(size) || (has > MAX_SMALL && has > slot_of(size) &&
		has - slot_of(size) <= slot_of(size) / 8));
	appears(o, p, size, natural(size), r);
	return true;
}

static inline bool do_memalign(struct obj *o, struct count *c, struct rng *r,
	size_t align, size_t size)
{
	void *p = heap_memalign(align, size);

	if (!p) {
		MUST(may_refuse);
		return false;
	}
	count_malloc(c, p);
	/* Not more than the next class or two, or whole pages. */
	MUST(heap_usable_size(p) <= MAX(2 * slot_of(MAX(size, align)),
					 size + PAGE_SIZE));
	appears(o, p, size, MAX(align, natural(size)), r);
	return true;
}

static inline void do_free(struct obj *o, struct count *c)
{
	check_fill(o, o->size);
	check_known(o);
	own(o->p, heap_usable_size(o->p) + mcache_slack, false);
	counted_free(c, o->p);
	o->p = NULL;
}

static inline bool do_realloc(struct obj *o, struct count *c, struct rng *r,
	size_t size)
{
	size_t had = heap_usable_size(o->p) + mcache_slack, has;
	struct obj old = *o;
	void *p;

	own(o->p, had, false);
	p = counted_realloc(c, o->p, size);
	if (!p) {
		MUST(may_refuse);
		own(o->p, had, true); /* stays as it was */
		check_fill(o, o->size);
		return false;
	}
	has = heap_usable_size(p) + mcache_slack;
	MUST(has >= size + mcache_slack);
	MUST_EQ((uintptr_t)p % natural(size), 0);
	/*
	 * Headroom for a quarter at most, half of a slot is not wasted; a run
	 * of pages that memalign() took stays what it is.
	 */
	MUST(has <= MAX(MAX(2 * slot_of(size), 64),
			    slot_of(had + had / 4)) ||
		(p == o->p && has <= size + PAGE_SIZE));
	own(p, has, true);
	old.p = p;
	check_fill(&old, MIN(old.size, size));
	*o = (struct obj){p, size, rng_next(r)};
	check_known(o);
	fill(o, 0);
	return true;
}

static inline size_t any_size(struct rng *r)
{
	const struct sizeclass *k;

	switch (rng_below(r, 32)) {
	case 0: /* the borders of a class */
	case 1:
	case 2:
		k = &sizeclasses[1 + rng_below(r, NSIZECLASS - 1)];
		return k->size - 2 + rng_below(r, 5);
	case 3:
		return MAX_SMALL - 4 + rng_below(r, 9);
	case 4: /* of MAX_RUN pages */
		return (size_t)MAX_RUN * PAGE_SIZE - 4 + rng_below(r, 9);
	case 5:
		return rng_log(r, 4 * MIB);
	case 6:
	case 7:
	case 8:
		return rng_log(r, 200 * KIB);
	case 9 ... 14:
		return rng_log(r, 4 * KIB);
	default:
		return rng_below(r, 500);
	}
}

/* One operation on one of the objects; false: refused. */
static inline bool any_operation(struct obj *objs, size_t n, struct count *c,
	struct rng *r)
{
	struct obj *o = &objs[rng_below(r, n)];
	size_t size = any_size(r);
	unsigned op = (unsigned)rng_below(r, 16);

	if (!o->p && op < 8)
		return do_malloc(o, c, r, size, false);
	if (!o->p && op < 12)
		return do_malloc(o, c, r, size, true);
	if (!o->p)
		return do_memalign(
			o, c, r, (size_t)1 << rng_below(r, 18), size);
	if (op < 9) {
		do_free(o, c);
		return true;
	}
	if (op < 12) /* by little */
		size = o->size + rng_below(r, o->size / 4 + 20);
	return do_realloc(o, c, r, MAX(size, 1));
}

static inline void free_all(struct obj *objs, size_t n, struct count *c)
{
	for (size_t i = 0; i < n; i++)
		if (objs[i].p)
			do_free(&objs[i], c);
}

#endif
