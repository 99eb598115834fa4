/* SPDX-License-Identifier: MIT */
/*
 * scavenge, limits, runcache, hugepage: what happens to pages that nobody
 * needs, and when there must not be more of them.
 */
#include "alloc/arena.h"
#include "alloc/heap.h"
#include "alloc/limits.h"
#include "alloc/peak.h"
#include "alloc/runcache.h"
#include "alloc/scavenge.h"
#include "os/sysmem.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 60000, BLOCK = 1000, RESERVE_PAGES = 8 };

static void *block[BLOCKS];

static void fill(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = heap_malloc(BLOCK);
		ck_assert_ptr_nonnull(block[i]);
		memset(block[i], 1, BLOCK);
	}
}

static void drop(void)
{
	for (int i = 0; i < BLOCKS; i++)
		heap_free(block[i]);
	mcache_flush(mcache_self);
}

static void scavenge_all(void)
{
	while (scavenge_tick())
		;
}

/* After a quiet second a tick gives back all but the reserve. */
START_TEST(test_quiet)
{
	uint64_t before;

	fill();
	drop();
	before = mheap.scavenged_total;
	ck_assert_uint_gt(mheap.pages_idle, 4096);
	usleep(1200000);
	scavenge_all();
	ck_assert_uint_le(mheap.pages_idle, RESERVE_PAGES);
	ck_assert_uint_gt(mheap.scavenged_total, before + 32 * MIB);
	heap_check();
	fill(); /* and it works again */
	heap_check();
}
END_TEST

/* Pages that are wanted again and again stay, but for a little at peaks. */
START_TEST(test_busy)
{
	for (int i = 0; i < 8; i++) {
		uint64_t began = scavenge_now_ms();

		fill();
		drop();
		scavenge_all();
		usleep(150000);
		if (scavenge_now_ms() - began > 700)
			return; /* a machine too slow to be busy */
	}
	ck_assert_uint_lt(mheap.scavenged_total, 8 * MIB);
}
END_TEST

/* The first allocation after a quiet second must not save the idle pages. */
START_TEST(test_first_operation)
{
	fill();
	drop();
	usleep(1200000);
	heap_free(heap_malloc(3 * MIB)); /* takes and frees pages */
	scavenge_all();
	ck_assert_uint_le(mheap.pages_idle, RESERVE_PAGES + 2 * 384);
}
END_TEST

START_TEST(test_free_os_memory)
{
	fill();
	drop();
	mheap_free_os_memory();
	ck_assert_uint_eq(mheap.pages_idle, 0);
	heap_check();
}
END_TEST

START_TEST(test_memory_limit)
{
	uint64_t limit;

	fill();
	limit = mheap_mapped_ready() + 4 * MIB;
	ck_assert_int_eq(limits_set_memory((int64_t)limit), INT64_MAX);
	drop();
	/* Much is idle; another size needs memory of its own. */
	for (int i = 0; i < 40; i++) {
		block[i] = heap_malloc(2 * MIB);
		ck_assert_ptr_nonnull(block[i]);
		memset(block[i], 1, 2 * MIB);
		if (mheap.pages_inuse * PAGE_SIZE < limit - 8 * MIB)
			ck_assert_uint_le(mheap_mapped_ready(), limit);
	}
	for (int i = 0; i < 40; i++)
		heap_free(block[i]);
	ck_assert_int_eq(limits_set_memory(-1), (int64_t)limit);
	limits_set_memory(INT64_MAX);
	heap_check();
}
END_TEST

START_TEST(test_max_heap)
{
	size_t n = 0;

	limits_set_max_heap(16 * MIB);
	while (n < BLOCKS && (block[n] = heap_malloc(BLOCK)) != NULL)
		n++;
	ck_assert_uint_lt(n, 17 * MIB / BLOCK);
	ck_assert_uint_gt(n, 10 * MIB / BLOCK);
	ck_assert_uint_le(mheap.pages_inuse * PAGE_SIZE, 16 * MIB);
	ck_assert_ptr_null(heap_malloc(20 * MIB));
	heap_check();
	while (n)
		heap_free(block[--n]);
	mcache_flush(mcache_self);
	ck_assert_ptr_nonnull(heap_malloc(10 * MIB)); /* recovers */
	ck_assert_uint_eq(limits_set_max_heap(0), 16 * MIB);
	heap_check();
}
END_TEST

/* Freed runs come back for the same size, for a slightly smaller one cut. */
START_TEST(test_runcache)
{
	struct mspan *s, *t;
	uintptr_t base;

	mheap_init();
	s = mheap_alloc_large(40, 1, false);
	t = mheap_alloc_large(7, 1, false); /* keeps s from the heap's end */
	base = s->base;
	mheap_free_span(s);
	ck_assert_uint_eq(runcache_pages(), 40);
	s = mheap_alloc_large(40, 1, false);
	ck_assert_uint_eq(s->base, base);
	ck_assert(!s->zeroed);
	mheap_free_span(s);
	s = mheap_alloc_large(34, 1, false);
	ck_assert_uint_eq(s->base, base);
	ck_assert_uint_eq(s->npages, 34);
	ck_assert_uint_eq(runcache_pages(), 0);
	mheap_check();
	mheap_free_span(s);
	s = mheap_alloc_large(20, 1, false); /* too much would be left over */
	ck_assert_uint_eq(runcache_pages(), 34);
	mheap_free_span(s);
	mheap_free_span(t);
	mheap_check();
	mheap_scavenge(SIZE_MAX); /* joins them */
	ck_assert_uint_eq(runcache_pages(), 0);
	mheap_check();
}
END_TEST

/* What magazines and holes keep serves before the heap gets larger still. */
START_TEST(test_peak)
{
	uint32_t peaks;
	size_t held, scav;

	fill();
	for (size_t i = 0; i < BLOCKS; i++) /* holes of 1 MB */
		if (i / 1000 % 2)
			heap_free(block[i]);
	/* Large objects that are free, in a magazine. */
	for (size_t k = 0; k < 3; k++) {
		void *p[8];

		for (size_t i = 0; i < NELEM(p); i++)
			p[i] = heap_malloc(10 * PAGE_SIZE);
		for (size_t i = 0; i < NELEM(p); i++)
			heap_free(p[i]);
	}
	held = mcache_depth(&mcache_self->rec[rec_of_run(10)]);
	ck_assert_uint_gt(held, 1);
	peaks = peak.count;
	scav = mheap.scavenged_total;
	usleep(50000); /* an allowance */
	for (size_t k = 0; peak.count == peaks; k++) {
		ck_assert_uint_lt(k, 4000);
		ck_assert_ptr_nonnull(heap_malloc(3 * MIB));
	}
	ck_assert_uint_ge(peak.pages, mheap.pages_inuse + mheap.pages_idle);
	ck_assert_uint_gt(mheap.scavenged_total, scav); /* holes went back */
	ck_assert_ptr_nonnull(heap_malloc(12 * PAGE_SIZE)); /* a miss */
	ck_assert_uint_eq(mcache_depth(&mcache_self->rec[rec_of_run(10)]), 0);
	heap_check();
}
END_TEST

static unsigned huge_blocks(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < window.narenas; i++)
		n += (unsigned)__builtin_popcount(arenas[i]->huge);
	return n;
}

/* Small heaps and large objects never ask; dense ones do, till scavenged. */
START_TEST(test_hugepage)
{
	void *large[20];

	heap_free(heap_malloc(100));
	ck_assert_uint_eq(huge_blocks(), 0);
	for (int i = 0; i < 20; i++)
		large[i] = heap_malloc(4 * MIB);
	ck_assert_uint_eq(huge_blocks(), 0);
	fill(); /* 60 MB of small objects, with 80 MiB in use before */
	ck_assert_uint_gt(huge_blocks(), 20);
	drop();
	for (int i = 0; i < 20; i++)
		heap_free(large[i]);
	mheap_free_os_memory();
	ck_assert_uint_le(huge_blocks(), 2);
	heap_check();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scavenge");
	TCase *tc = tcase_create("core");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, test_quiet);
	tcase_add_test(tc, test_busy);
	tcase_add_test(tc, test_first_operation);
	tcase_add_test(tc, test_free_os_memory);
	tcase_add_test(tc, test_memory_limit);
	tcase_add_test(tc, test_max_heap);
	tcase_add_test(tc, test_runcache);
	tcase_add_test(tc, test_peak);
	tcase_add_test(tc, test_hugepage);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
