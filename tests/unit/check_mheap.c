/* SPDX-License-Identifier: MIT */
/* Spans against a list of them and an owner for each page. */
#include "alloc/mheap.h"
#include "alloc/arena.h"
#include "alloc/limits.h"
#include "alloc/pagealloc.h"
#include "alloc/runcache.h"
#include "support/maps.h"
#include "support/random.h"
#include "support/run.h"

enum { SPANS = 1200, MODEL_PAGES = 10 * ARENA_PAGES };

static struct held {
	struct mspan *s;
	uintptr_t base;
	size_t n;
	unsigned sizeclass; /* 0: large */
	bool sampled;
	uint64_t mark; /* what is written all over it */
} held[SPANS];
static unsigned nheld;

static struct {
	size_t pages, run[MAX_RUN + 1], huge_bytes;
	uint64_t huge_mallocs, huge_frees, huge_malloc_bytes, huge_free_bytes;
	uint64_t grown, shrunk;
} want;
static uint16_t owner[MODEL_PAGES]; /* 1 + index in held */
static uint64_t marks;
static bool no_moves;

/* One word in each kernel page stands for the rest. */
static void write_marks(const struct held *h, size_t from)
{
	for (size_t at = from << PAGE_SHIFT; at < h->n << PAGE_SHIFT;
		at += OS_PAGE)
		*(uint64_t *)(h->base + at) = h->mark + at;
}

static void check_marks(const struct held *h, size_t npages)
{
	for (size_t at = 0; at < npages << PAGE_SHIFT; at += OS_PAGE)
		MUST_EQ(*(uint64_t *)(h->base + at), h->mark + at);
}

static void check_zero(const struct held *h)
{
	if (h->n <= 64)
		MUST(all_zero((void *)h->base, h->n << PAGE_SHIFT));
	else
		for (size_t at = 0; at < h->n << PAGE_SHIFT; at += OS_PAGE)
			MUST(all_zero((void *)(h->base + at), 64));
}

static void set_owner(unsigned k, bool mine)
{
	size_t page = arena_page(held[k].base);

	MUST(page + held[k].n <= MODEL_PAGES);
	for (size_t p = page; p < page + held[k].n; p++)
		owner[p] = mine ? (uint16_t)(k + 1) : 0;
}

static void count_large(size_t n, int by)
{
	if (n <= MAX_RUN)
		want.run[n] += (size_t)by;
	else
		want.huge_bytes += (size_t)by * (n << PAGE_SHIFT);
}

static void check_new(struct held *h)
{
	const struct mspan *s = h->s;
	const struct sizeclass *c = &sizeclasses[h->sizeclass];
	size_t page = arena_page(s->base), bits = 0, nelems;

	MUST_EQ(s->npages, h->n);
	MUST_EQ(s->base % PAGE_SIZE, 0);
	MUST_EQ(s->sampled, h->sampled);
	MUST_EQ(s->sizeclass, h->sizeclass);
	for (size_t p = page; p < page + h->n; p++) {
		unsigned code = 0;

		MUST_EQ(owner[p], 0);
		if (h->sizeclass)
			code = h->sizeclass * REC_SIZE;
		else if (p == page && h->n <= MAX_RUN)
			code = rec_of_run(h->n) * REC_SIZE;
		MUST_EQ(load_relaxed(&window_code[p]), h->sampled ? 0 : code);
	}
	if (h->sizeclass == 0) {
		MUST(s->state == MSPAN_LARGE && s->nelems == 1);
		MUST_EQ(mspan_elemsize(s), h->n << PAGE_SHIFT);
		if (s->zeroed)
			check_zero(h);
		return;
	}
	nelems = h->n * PAGE_SIZE / c->size;
	MUST(s->state == MSPAN_SMALL && s->nelems == nelems);
	MUST(s->nfree == nelems && mspan_elemsize(s) == c->size);
	for (size_t i = 0; i < s->nwords * 64u; i++)
		bits += mspan_isfree(s, (uint32_t)i);
	MUST_EQ(bits, nelems);
	MUST(mspan_isfree(s, (uint32_t)nelems - 1));
}

static bool keep(struct mspan *s, size_t n, unsigned sizeclass, bool sampled)
{
	struct held *h = &held[nheld];

	if (!s)
		return false;
	*h = (struct held){s, s->base, n, sizeclass, sampled,
		marks += 0x100000001};
	check_new(h);
	want.pages += n;
	if (!sizeclass) {
		count_large(n, 1);
		if (n > MAX_RUN) {
			want.huge_mallocs++;
			want.huge_malloc_bytes += n << PAGE_SHIFT;
		}
	}
	set_owner(nheld++, true);
	write_marks(h, 0);
	return true;
}

static bool alloc_small(struct rng *r)
{
	unsigned c = 1 + (unsigned)rng_below(r, NSIZECLASS - 1);
	const struct sizeclass *k = &sizeclasses[c];
	size_t npages = k->least + rng_below(r, k->npages - k->least + 1);
	bool sampled = rng_below(r, 8) == 0;

	return keep(mheap_alloc_small(c, npages, sampled), npages, c,
		sampled);
}

static bool alloc_large(struct rng *r, size_t n, size_t align)
{
	bool sampled = rng_below(r, 8) == 0;
	struct mspan *s = mheap_alloc_large(n, align, sampled);

	MUST(!s || arena_page(s->base) % align == 0);
	return keep(s, n, 0, sampled);
}

static void forget(unsigned k)
{
	set_owner(k, false);
	held[k] = held[--nheld];
	if (k < nheld)
		set_owner(k, true);
}

static void give(unsigned k)
{
	struct held *h = &held[k];

	check_marks(h, h->n);
	mheap_free_span(h->s);
	want.pages -= h->n;
	if (!h->sizeclass) {
		count_large(h->n, -1);
		if (h->n > MAX_RUN) {
			want.huge_frees++;
			want.huge_free_bytes += h->n << PAGE_SHIFT;
		}
	}
	forget(k);
}

/* In place, if the pages behind are nobody's. */
static void resize(unsigned k, size_t n)
{
	struct held *h = &held[k];
	size_t old = h->n, page = arena_page(h->base);
	bool room = (old > MAX_RUN) == (n > MAX_RUN), ok;

	for (size_t p = page + old; p < page + n; p++)
		room = room && p < MODEL_PAGES && owner[p] == 0;
	ok = mheap_resize_large(h->s, n);
	/* Free pages may be cached or not mapped; taken ones never yield. */
	MUST(!ok || room);
	MUST(ok || n > old || (old > MAX_RUN) != (n > MAX_RUN));
	if (!ok) {
		MUST_EQ(h->s->npages, old);
		check_marks(h, old);
		return;
	}
	check_marks(h, MIN(old, n));
	MUST_EQ(h->s->base, h->base);
	MUST_EQ(h->s->npages, n);
	MUST(!h->s->zeroed);
	set_owner(k, false);
	h->n = n;
	set_owner(k, true);
	count_large(old, -1);
	count_large(n, 1);
	want.pages += n - old;
	if (n > old)
		want.grown += (n - old) << PAGE_SHIFT;
	else
		want.shrunk += (old - n) << PAGE_SHIFT;
	write_marks(h, MIN(old, n));
}

static void check_owners(struct rng *r)
{
	size_t top = MIN(window_npages, (size_t)MODEL_PAGES);

	for (size_t p = 0; p < top; p++) {
		uintptr_t a = arena_addr(p) + rng_below(r, PAGE_SIZE);
		struct mspan *s = arena_span(a);

		if (owner[p])
			MUST(s == held[owner[p] - 1].s);
		else
			MUST(!s || s->state == MSPAN_CACHED);
	}
}

static void check_books(void)
{
	MUST_EQ(mheap.pages_inuse, want.pages);
	MUST_EQ(mheap.huge_out_bytes, want.huge_bytes);
	MUST_EQ(mheap.huge_mallocs, want.huge_mallocs);
	MUST_EQ(mheap.huge_frees, want.huge_frees);
	MUST_EQ(mheap.huge_malloc_bytes, want.huge_malloc_bytes);
	MUST_EQ(mheap.huge_free_bytes, want.huge_free_bytes);
	MUST_EQ(mheap.grown_bytes, want.grown);
	MUST_EQ(mheap.shrunk_bytes, want.shrunk);
	for (size_t n = 1; n <= MAX_RUN; n++)
		MUST_EQ(mheap.run_out[n], want.run[n]);
	MUST(runcache_pages() <= mheap.pages_idle);
}

static size_t some_pages(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return MAX_RUN - 4 + rng_below(r, 10);
	case 1:
		return rng_log(r, 3000);
	default:
		return 1 + rng_below(r, 40);
	}
}

/* The contents change places with the page tables, or not at all. */
static void move(unsigned k)
{
	struct held *from = &held[k];
	size_t n = from->n + rng_below(&(struct rng){marks}, 64);
	struct held to;

	if (from->sizeclass || from->n <= MAX_RUN || nheld == SPANS ||
		no_moves)
		return;
	if (!keep(mheap_alloc_large(n, 1, false), n, 0, false))
		return;
	to = held[nheld - 1];
	if (mheap_move_pages(from->s, to.s)) {
		to.mark = from->mark;
		check_marks(&to, from->n);
		check_zero(from);
		held[nheld - 1].mark = to.mark;
		write_marks(&held[nheld - 1], from->n);
		MUST(from->s->emptied);
		from->mark = ++marks;
		/* Freed as it is: zero pages that nobody has touched. */
		mheap_free_span(from->s);
		want.pages -= from->n;
		count_large(from->n, -1);
		want.huge_frees++;
		want.huge_free_bytes += from->n << PAGE_SHIFT;
		forget(k);
	}
}

static void step(struct rng *r, size_t most)
{
	unsigned k = nheld ? (unsigned)rng_below(r, nheld) : 0;
	size_t n = some_pages(r);

	switch (rng_below(r, 16)) {
	case 0 ... 3:
		if (nheld < SPANS && want.pages < most)
			MUST(alloc_small(r));
		break;
	case 4 ... 7:
		if (nheld < SPANS && want.pages + n < most)
			MUST(alloc_large(r, n, 1));
		break;
	case 8:
		if (nheld < SPANS && want.pages + n < most)
			MUST(alloc_large(r, n, (size_t)1 << rng_below(r, 10)));
		break;
	case 9 ... 10:
		if (nheld && !held[k].sizeclass)
			resize(k, rng_below(r, 2) ? n : held[k].n + n);
		break;
	case 11:
		if (nheld)
			move(k);
		break;
	case 12:
		if (rng_below(r, 8) == 0)
			mheap_scavenge(rng_log(r, 5000));
		break;
	default:
		if (nheld)
			give(k);
	}
}

static void give_all(void)
{
	while (nheld)
		give(nheld - 1);
	check_books();
	mheap_check();
}

static uint64_t descriptors(void)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < NELEM(mheap.spans); k++)
		n += mheap.spans[k].inuse;
	return n;
}

START_TEST(random_spans)
{
	struct rng r = rng_init(1);

	ck_assert(mheap_init());
	for (size_t round = 0; round < scaled(5); round++) {
		size_t most = rng_log(&r, 3 * ARENA_PAGES);

		for (int i = 0; i < 1200; i++) {
			step(&r, most);
			check_books();
			if (i % 64 == 0) {
				mheap_check();
				check_owners(&r);
			}
		}
		if (rng_below(&r, 2))
			give_all();
	}
	give_all();
	mheap_free_os_memory();
	mheap_check();
	ck_assert_uint_eq(mheap.pages_idle, 0);
	ck_assert_uint_eq(runcache_pages(), 0);
	ck_assert_uint_eq(descriptors(), 0);
	for (size_t p = 0; p < window_npages; p++)
		MUST(!arena_span(arena_addr(p)));
}
END_TEST

static bool thp_always(void)
{
	char text[64] = {0};
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	bool always = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
		strstr(text, "[always]");

	close(fd);
	return always;
}

/* Released pages have no memory, all others may. */
START_TEST(released_is_released)
{
	struct rng r = rng_init(2);
	size_t scav = 0;

	ck_assert(mheap_init());
	no_moves = true; /* their check reads pages, and mincore() sees that */
	for (int i = 0; i < 1000; i++)
		step(&r, 2000); /* too small for huge pages */
	mheap_scavenge(mheap.pages_idle / 2);
	for (size_t p = 0; p < arena_page(window.next); p++) {
		const struct arena *a = arenas[p / ARENA_PAGES];
		size_t k = p % ARENA_PAGES;

		if (!(a->scav[k / 64] >> k % 64 & 1))
			continue;
		scav++;
		if (!thp_always())
			MUST_EQ(maps_resident((void *)arena_addr(p), PAGE_SIZE),
				0);
	}
	ck_assert_uint_eq(scav, mheap.pages_scav);
	while (nheld)
		give(nheld - 1);
	mheap_free_os_memory();
	ck_assert_uint_eq(mheap.pages_idle + mheap.pages_inuse, 0);
	if (!thp_always())
		ck_assert_uint_eq(maps_resident((void *)window_base,
					  window.next - window_base),
			0);
	for (size_t p = 0; p < arena_page(window.next); p++)
		MUST(all_zero((void *)arena_addr(p), PAGE_SIZE));
}
END_TEST

/* A hard limit: to the page, for every way to get pages. */
START_TEST(max_heap)
{
	size_t limit = 1000;
	struct rng r = rng_init(3);

	ck_assert(mheap_init());
	ck_assert_uint_eq(limits_set_max_heap(limit * PAGE_SIZE), 0);
	ck_assert(!alloc_large(&r, limit + 1, 1));
	while (want.pages < limit - 40)
		ck_assert(alloc_large(&r, 1 + rng_below(&r, 20), 1));
	while (want.pages < limit)
		ck_assert(alloc_large(&r, 1, 1));
	ck_assert(!alloc_large(&r, 1, 1));
	ck_assert(!alloc_large(&r, 1, 4));
	for (unsigned c = 1; c < NSIZECLASS; c++)
		ck_assert_ptr_null(mheap_alloc_small(c, sizeclasses[c].least, c & 1));
	/* The pages behind it are free, the limit says no. */
	give(nheld - 1);
	ck_assert(alloc_large(&r, 1, 1));
	ck_assert(!mheap_resize_large(held[nheld - 1].s, 2));
	ck_assert_uint_eq(limits_set_max_heap(10 * PAGE_SIZE),
		limit * PAGE_SIZE);
	/* Above the limit already: neither pages nor what is cached. */
	for (int i = 0; i < 8; i++)
		give(nheld - 1);
	ck_assert(!alloc_large(&r, 1, 1));
	ck_assert(!mheap_resize_large(held[0].s, held[0].n + 1));
	resize(0, 1); /* less is always possible */
	check_books();
	/* Bytes that make no page. */
	limits_set_max_heap(1);
	give_all();
	ck_assert(!alloc_large(&r, 1, 1));
	ck_assert_uint_eq(limits_set_max_heap(0), 1);
	ck_assert_uint_eq(limits_set_max_heap(0), 0);
	ck_assert(alloc_large(&r, 3 * limit, 1));
	check_books();
	mheap_check();
}
END_TEST

START_TEST(too_large)
{
	ck_assert(mheap_init());
	ck_assert_ptr_null(mheap_alloc_large(UINT32_MAX, 1, false));
	ck_assert_ptr_null(
		mheap_alloc_large((size_t)UINT32_MAX + 2, 1, false));
	ck_assert_ptr_null(mheap_alloc_large(SIZE_MAX >> 13, 1, false));
	ck_assert_ptr_null(mheap_alloc_large(1, (size_t)1 << 50, false));
	ck_assert_uint_eq(descriptors(), 0);
	check_books();
	mheap_check();
}
END_TEST

/* The soft limit: what is idle goes before the process exceeds it. */
START_TEST(memory_limit)
{
	struct rng r = rng_init(4);
	uint64_t limit;
	size_t idle;

	ck_assert(mheap_init());
	for (int i = 0; i < 12; i++)
		ck_assert(alloc_large(&r, 600, 1));
	for (unsigned i = 0; i < 6; i++)
		give(i); /* the last takes its place: no two neighbours */
	limit = mheap_mapped_ready() + 100 * PAGE_SIZE;
	ck_assert_int_eq(limits_set_memory((int64_t)limit), INT64_MAX);
	ck_assert_int_eq(limits_set_memory(-1), (int64_t)limit);
	ck_assert(alloc_large(&r, 90, 1)); /* idle memory */
	idle = mheap.pages_idle;
	ck_assert_uint_eq(idle, 3600 - 90);
	ck_assert(alloc_large(&r, idle - 500, 1)); /* more than any run */
	ck_assert_uint_le(mheap_mapped_ready(), limit);
	ck_assert_uint_gt(mheap_mapped_ready(), limit - 2000 * PAGE_SIZE);
	ck_assert_uint_gt(mheap.pages_idle, 0);
	/* Nothing idle is left to make up for this: the limit is soft. */
	ck_assert(alloc_large(&r, 5000, 1));
	ck_assert_uint_gt(mheap_mapped_ready(), limit);
	ck_assert_uint_eq(mheap.pages_idle, 0);
	give_all();
	ck_assert_int_eq(limits_set_memory(INT64_MAX), (int64_t)limit);
	ck_assert_int_eq(limits_set_memory(0), INT64_MAX);
	ck_assert_int_eq(limits_set_memory(-1), 0);
	mheap_check();
}
END_TEST

/* Each request to the kernel refused: what fails leaves nothing behind. */
START_TEST(refusals)
{
	struct rng r = rng_init(5);
	unsigned failed, rounds = 0;
	long n = 0;

	for (; sysmem_fail_after = n, !mheap_init(); n++)
		;
	do {
		failed = 0;
		sysmem_fail_after = n++;
		for (int i = 0; i < 60; i++) {
			failed += !alloc_small(&r);
			failed += !alloc_large(&r, some_pages(&r), 1);
			if (nheld && !held[nheld - 1].sizeclass)
				resize(nheld - 1, some_pages(&r));
			if (nheld && i % 4 == 0)
				give((unsigned)rng_below(&r, nheld));
			if (i % 16 == 0)
				move(0);
		}
		check_books();
		mheap_check();
		sysmem_fail_after = -1;
		MUST(alloc_small(&r) && alloc_large(&r, 5000, 1));
		give_all();
		mheap_free_os_memory();
		ck_assert_uint_eq(descriptors(), rounds * mheap.spans[0].size);
		/* Fresh memory is needed next time too: use all of this. */
		MUST(alloc_large(&r, mheap.pages_scav, 1));
		rounds++;
		nheld = 0;
		memset(owner, 0, sizeof(owner));
	} while (failed && n < 40 && window.narenas < 9);
	ck_assert_int_gt(n, 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mheap");
	TCase *tc = new_case(s, "mheap");

	tcase_add_test(tc, random_spans);
	tcase_add_test(tc, released_is_released);
	tcase_add_test(tc, max_heap);
	tcase_add_test(tc, too_large);
	tcase_add_test(tc, memory_limit);
	tcase_add_test(tc, refusals);
	seed_init();
	return run_suite(s);
}
