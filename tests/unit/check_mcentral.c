/* SPDX-License-Identifier: MIT */
/* Batches in and out of the class shelves, with magazines made by hand. */
#include "alloc/mcentral.h"
#include "alloc/arena.h"
#include "support/random.h"
#include "support/run.h"

#include <pthread.h>

enum { OBJECTS = 6000 };

/* A magazine of one's own. */
struct magazine {
	void *slot[MAG_MAX + 1];
	struct mcache_rec rec;
};

static void magazine_init(struct magazine *m, unsigned cap)
{
	memset(m, 0, sizeof(*m));
	m->rec.base = m->rec.top = m->slot;
	m->rec.limit = m->slot + cap;
}

/* What the test holds of one class. */
static struct held {
	void *obj[OBJECTS];
	unsigned n;
} held[NSIZECLASS];

static uint64_t stamp(unsigned c, const void *p)
{
	return ((uintptr_t)p ^ c) * 0x9e3779b97f4a7c15;
}

/* Refill an empty magazine and keep what it brings. */
static size_t refill(struct magazine *m, unsigned c, size_t want)
{
	struct held *h = &held[c];
	bool batch = mcentral[0][c].batched;
	size_t n = mcentral_refill(c, &m->rec, want), k = n;
	uintptr_t before = 0;

	MUST_EQ(m->rec.top - m->rec.base, n);
	MUST(!m->slot[0] && h->n + n <= OBJECTS);
	while (m->rec.top > m->rec.base) {
		void *p = *m->rec.top--;
		struct mspan *s = arena_span((uintptr_t)p);

		MUST(s && s->state == MSPAN_SMALL && !s->sampled);
		MUST_EQ(s->sizeclass, c);
		MUST_EQ(((uintptr_t)p - s->base) % sizeclasses[c].size, 0);
		MUST(!mspan_isfree(s, mspan_index(s, (uintptr_t)p)));
		/* Within a span the lowest address is popped first. */
		MUST(batch || (uintptr_t)p > before || s != arena_span(before));
		before = (uintptr_t)p;
		*(uint64_t *)p = stamp(c, p);
		h->obj[h->n++] = p;
		k--;
	}
	MUST_EQ(k, 0);
	return n;
}

/* n objects at random go back through the magazine. */
static void flush(struct magazine *m, struct rng *r, unsigned c, size_t n,
	bool hand_over)
{
	struct held *h = &held[c];
	size_t stay = rng_below(r, MAG_MAX + 1 - n);
	void *kept[MAG_MAX];

	n = MIN(n, h->n);
	if (n == 0)
		return;
	stay = MIN(stay, h->n - n);
	for (size_t i = 0; i < n + stay; i++) {
		unsigned k = (unsigned)rng_below(r, h->n);

		MUST_EQ(*(uint64_t *)h->obj[k], stamp(c, h->obj[k]));
		*++m->rec.top = h->obj[k];
		h->obj[k] = h->obj[--h->n];
		if (i >= n)
			kept[i - n] = *m->rec.top;
	}
	if (hand_over)
		mcentral_hand_over(c, &m->rec, n);
	else
		mcentral_flush(c, &m->rec, n);
	/* The oldest went; the others have moved down, in their order. */
	MUST_EQ(m->rec.top - m->rec.base, stay);
	for (size_t i = stay; i-- > 0;) {
		MUST(*m->rec.top == kept[i]);
		h->obj[h->n++] = *m->rec.top--;
	}
	MUST(!m->slot[0]);
}

static uint64_t spans_of(unsigned c)
{
	return mcentral[0][c].nspans;
}

static void check_counts(void)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		const struct mcentral *m = &mcentral[0][c];

		MUST_EQ(m->out - m->batched, held[c].n);
		MUST(m->nempty <= 1);
		MUST(m->out <= m->nslots && m->nspans <= m->npages);
		MUST(m->nslots * sizeclasses[c].size <=
			m->npages << PAGE_SHIFT);
	}
}

/* No object is out twice. */
static void check_distinct(unsigned c)
{
	struct held *h = &held[c];

	for (unsigned i = 0; i < h->n; i++)
		MUST_EQ(*(uint64_t *)h->obj[i], stamp(c, h->obj[i]));
	for (unsigned i = 0; i < h->n; i++) {
		*(uint64_t *)h->obj[i] += 1;
		MUST_EQ(*(uint64_t *)h->obj[i], stamp(c, h->obj[i]) + 1);
	}
	for (unsigned i = 0; i < h->n; i++)
		MUST_EQ((*(uint64_t *)h->obj[i])--, stamp(c, h->obj[i]) + 1);
}

static unsigned some_class(struct rng *r)
{
	return 1 + (unsigned)rng_below(r, NSIZECLASS - 1);
}

START_TEST(random_batches)
{
	struct rng r = rng_init(1);
	struct magazine m;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	for (size_t i = 0; i < scaled(6000); i++) {
		unsigned c = some_class(&r);
		size_t n = 1 + rng_below(&r, MAG_MAX);
		bool fill = rng_below(&r, 1024) < (i / 1024 % 2 ? 300u : 600u);

		if (fill && held[c].n + MAG_MAX < OBJECTS) {
			size_t batched = mcentral[0][c].batched;
			size_t got = refill(&m, c, n);

			MUST(batched ? got > 0 : got == n);
		} else {
			flush(&m, &r, c, n, rng_below(&r, 4) == 0);
		}
		if (i % 128 == 0) {
			check_counts();
			check_distinct(c);
		}
		if (i % 2048 == 0) {
			mcentral_check();
			mheap_check();
		}
		if (i % 4096 == 0)
			mcentral_settle();
	}
	for (unsigned c = 1; c < NSIZECLASS; c++)
		while (held[c].n)
			flush(&m, &r, c, MAG_MAX, false);
	mcentral_settle();
	check_counts();
	mcentral_check();
	mheap_check();
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		ck_assert_uint_le(spans_of(c), 1);
		ck_assert_uint_eq(mcentral[0][c].batched, 0);
	}
}
END_TEST

/* A full span is taken from again when 1/8 of it is free, not before. */
START_TEST(hysteresis)
{
	struct rng r = rng_init(2);
	struct magazine m;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		unsigned nelems = sizeclasses[c].least * PAGE_SIZE /
			sizeclasses[c].size;
		unsigned k = 0;
		struct held *h = &held[c];
		struct mspan *s;

		for (unsigned n = nelems; n; n -= MIN(n, (unsigned)MAG_MAX))
			refill(&m, c, MIN(n, (unsigned)MAG_MAX));
		ck_assert_uint_eq(spans_of(c), 1);
		s = arena_span((uintptr_t)h->obj[0]);
		MUST(s->nfree == 0 && !s->listed && !mcentral[0][c].head);
		while (k < (nelems + 7) / 8) {
			MUST(!s->listed);
			flush(&m, &r, c, 1, false);
			k++;
		}
		MUST(s->listed && mcentral[0][c].head == s);
		/* It serves until it is full again. */
		while (k > 1) {
			refill(&m, c, 1);
			k--;
			MUST(s->listed);
		}
		refill(&m, c, 1);
		MUST(!s->listed);
		ck_assert_uint_eq(spans_of(c), 1);
		refill(&m, c, 1);
		ck_assert_uint_eq(spans_of(c), 2);
		mcentral_check();
	}
}
END_TEST

/* One empty span of a class is kept, the others go. */
START_TEST(empty_spans)
{
	struct rng r = rng_init(3);
	struct magazine m;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		size_t n = 5 * sizeclasses[c].nelems, page = mheap.pages_inuse;

		for (; held[c].n < n;)
			refill(&m, c, MIN(n - held[c].n, (size_t)MAG_MAX));
		ck_assert_uint_ge(spans_of(c), 5);
		while (held[c].n)
			flush(&m, &r, c, 1 + rng_below(&r, MAG_MAX), false);
		ck_assert_uint_eq(spans_of(c), 1);
		ck_assert_uint_eq(
			mheap.pages_inuse - page, mcentral[0][c].npages);
		ck_assert_uint_le(mcentral[0][c].npages, sizeclasses[c].npages);
		ck_assert_uint_eq(mcentral[0][c].nempty, 1);
		/* And serves again. */
		refill(&m, c, 1);
		ck_assert_uint_eq(spans_of(c), 1);
		ck_assert_uint_eq(mcentral[0][c].nempty, 0);
	}
	mcentral_check();
}
END_TEST

/* The first span of a class is short, none is longer than the table says. */
START_TEST(spans_grow)
{
	struct magazine m;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		const struct sizeclass *k = &sizeclasses[c];
		struct mcentral *central = &mcentral[0][c];
		size_t last = 0;

		refill(&m, c, 1);
		ck_assert_uint_eq(central->npages, k->least);
		while (last < k->npages) {
			size_t before = central->npages, more;

			refill(&m, c, 1);
			more = central->npages - before;
			if (more == 0)
				continue;
			MUST(more >= last && more <= k->npages);
			MUST(more == k->npages || more % k->least == 0);
			/* At most a quarter of the class is one empty span. */
			MUST(more <= k->least || more <= before / 4 + k->least);
			last = more;
		}
	}
	mcentral_check();
}
END_TEST

/* Sampled objects have spans of their own. */
START_TEST(sampled)
{
	struct rng r = rng_init(4);
	static void *objs[3000];
	unsigned classes[3000], n = 0;

	ck_assert(mheap_init());
	for (size_t i = 0; i < scaled(8000); i++) {
		unsigned c = some_class(&r), k;

		if (n < NELEM(objs) && rng_below(&r, i < 4000 ? 3 : 2)) {
			struct mspan *s;
			uint32_t index;
			void *p = mcentral_take_sampled(c, &s, &index);

			MUST(p && s->sampled && s->sizeclass == c);
			MUST_EQ((uintptr_t)p,
				s->base + index * sizeclasses[c].size);
			MUST(!mspan_isfree(s, index) && s->info);
			MUST_EQ(load_relaxed(
					&window_code[arena_page((uintptr_t)p)]),
				0);
			*(uint64_t *)p = stamp(c, p);
			objs[n] = p;
			classes[n++] = c;
		} else if (n) {
			k = (unsigned)rng_below(&r, n);
			MUST_EQ(*(uint64_t *)objs[k],
				stamp(classes[k], objs[k]));
			mcentral_put(arena_span((uintptr_t)objs[k]),
				(uintptr_t)objs[k]);
			objs[k] = objs[--n];
			classes[k] = classes[n];
		}
		if (i % 1024 == 0)
			mcentral_check();
	}
	while (n--)
		mcentral_put(arena_span((uintptr_t)objs[n]), (uintptr_t)objs[n]);
	mcentral_check();
	mheap_check();
	for (unsigned c = 1; c < NSIZECLASS; c++)
		ck_assert_uint_eq(mcentral[1][c].out, 0);
}
END_TEST

static const unsigned busy[] = {2, 5, 10, 32, 44, 67};
static uint64_t lost; /* objects on their way through nobody's hands */

/* Threads that pass objects on through one table. */
static void *exchanger(void *arg)
{
	static void *table[64];
	struct rng r = rng_init(100 + (size_t)arg);
	unsigned c = busy[(size_t)arg / 2 % NELEM(busy)];
	void **mine = table + (size_t)arg / 2 % NELEM(busy) * 8;
	struct magazine m;

	magazine_init(&m, 32);
	for (size_t i = 0; i < scaled(30000); i++) {
		void *p;

		if (m.rec.top == m.rec.base)
			MUST(mcentral_refill(c, &m.rec, 16) > 0);
		p = *m.rec.top;
		store_relaxed(&m.rec.top, m.rec.top - 1);
		*(uint64_t *)p = stamp(c, p);
		/* Release what was written, acquire what is freed. */
		p = xchg_acq_rel(&mine[rng_below(&r, 8)], p);
		if (!p)
			continue;
		MUST_EQ(*(uint64_t *)p, stamp(c, p));
		if (m.rec.top == m.rec.limit) {
			if (i % 2)
				mcentral_hand_over(c, &m.rec, 16);
			else
				mcentral_flush(c, &m.rec, 16);
		}
		m.rec.top[1] = p;
		store_relaxed(&m.rec.top, m.rec.top + 1);
	}
	mcentral_flush(c, &m.rec, (size_t)(m.rec.top - m.rec.base));
	for (int i = 0; i < 8; i++) {
		void *p = xchg_acq_rel(&mine[i], NULL);

		if (p)
			mcentral_put(arena_span((uintptr_t)p), (uintptr_t)p);
	}
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[8];

	ck_assert(mheap_init());
	for (size_t i = 0; i < NELEM(t); i++)
		pthread_create(&t[i], NULL, exchanger, (void *)i);
	for (size_t i = 0; i < NELEM(t); i++)
		pthread_join(t[i], NULL);
	mcentral_settle();
	mcentral_check();
	mheap_check();
	for (unsigned c = 1; c < NSIZECLASS; c++)
		ck_assert_uint_eq(mcentral[0][c].out, 0);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

/* Refused: what was there is still handed out, then NULL, then again. */
START_TEST(refusals)
{
	struct rng r = rng_init(5);
	struct magazine m;
	size_t before;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		size_t got = refill(&m, c, 1);
		size_t nelems = mcentral[0][c].nslots;
		struct mspan *s;
		uint32_t index;

		/* What is mapped already is in use. */
		if (mheap.pages_scav)
			MUST(mheap_alloc_large(mheap.pages_scav, 1, false));
		sysmem_fail_after = 0;
		before = held[c].n;
		while ((got = refill(&m, c, 20)) == 20)
			;
		/* A span short of what was asked for, then nothing. */
		ck_assert_uint_eq(refill(&m, c, 20), 0);
		ck_assert(held[c].n >= nelems && before == 1);
		while (mcentral_take_sampled(c, &s, &index))
			;
		if (c % 8 == 0) {
			mcentral_check();
			mheap_check();
		}
		flush(&m, &r, c, MIN(nelems / 2 + 1, (size_t)MAG_MAX), false);
		ck_assert_uint_gt(refill(&m, c, 1), 0);
		sysmem_fail_after = -1;
		ck_assert_uint_eq(refill(&m, c, MAG_MAX), MAG_MAX);
	}
	mcentral_check();
	mheap_check();
}
END_TEST

/* Wrong objects end the process, with a line that says which and why. */
struct wrong {
	unsigned sizeclass;
	void *objs[3];
	size_t n;
};

static void flush_wrong(void *arg)
{
	struct wrong *w = arg;
	struct magazine m;

	magazine_init(&m, MAG_MAX);
	for (size_t i = 0; i < w->n; i++)
		*++m.rec.top = w->objs[i];
	mcentral_flush(w->sizeclass, &m.rec, w->n);
}

START_TEST(wrong_objects)
{
	struct magazine m;
	char *a, *b;

	magazine_init(&m, MAG_MAX);
	ck_assert(mheap_init());
	refill(&m, 5, 20);
	a = held[5].obj[0];
	b = held[5].obj[1];
	expect_abort(flush_wrong, &(struct wrong){5, {a, b, a}, 3},
		"double free");
	expect_abort(flush_wrong, &(struct wrong){5, {a, a}, 2},
		"double free");
	expect_abort(flush_wrong, &(struct wrong){5, {a + 8}, 1},
		"points 8 bytes into the object of 48 bytes");
	expect_abort(flush_wrong, &(struct wrong){6, {a}, 1}, "free of");
	expect_abort(flush_wrong, &(struct wrong){5, {&m}, 1},
		"never allocated");
	expect_abort(flush_wrong,
		&(struct wrong){5, {a + 48 * 100 + 4}, 1},
		"inside a free slot");
	expect_abort(flush_wrong, &(struct wrong){5, {a + 48 * 100}, 1},
		"double free");
	a = (char *)arena_span((uintptr_t)a)->base + 48 * 170;
	expect_abort(flush_wrong, &(struct wrong){5, {a}, 1}, "unused end");
	mcentral_check();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mcentral");
	TCase *tc = new_case(s, "mcentral");

	tcase_add_test(tc, random_batches);
	tcase_add_test(tc, hysteresis);
	tcase_add_test(tc, empty_spans);
	tcase_add_test(tc, spans_grow);
	tcase_add_test(tc, sampled);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, wrong_objects);
	seed_init();
	return run_suite(s);
}
