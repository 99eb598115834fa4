/* SPDX-License-Identifier: MIT */
/*
 * tick and objinfo: is the sample a fair one, and is each sampled object found
 * again when it is freed?
 */
#include "alloc/heap.h"
#include "alloc/objinfo.h"
#include "alloc/stats.h"
#include "alloc/tick.h"

#include "support/sanitizer.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static uint64_t allocs, frees, alloc_slots, weighed;
static double estimate; /* bytes, unsampled as readers of a profile do */

static uint32_t on_alloc(struct mcache *mc UNUSED,
	const struct unwind_regs *r UNUSED, size_t slot, unsigned shift)
{
	double rate = (double)tick_sample_rate();

	allocs++;
	alloc_slots += slot;
	weighed += (uint64_t)1 << shift;
	estimate += (double)(slot << shift) / (1 - exp(-(double)slot / rate));
	return (uint32_t)allocs;
}

static void on_free(uint32_t stack, size_t slot UNUSED, unsigned shift)
{
	weighed -= (uint64_t)1 << shift;
	ck_assert_uint_ne(stack, 0);
	frees++;
}

static void setup(void)
{
	heap_init();
	objinfo_hooks.alloc = on_alloc;
	objinfo_hooks.free = on_free;
	allocs = frees = alloc_slots = 0;
	estimate = 0;
}

/* Allocate total bytes of objects of size; is the estimate near the truth? */
static void fair(size_t size, uint64_t rate, size_t total)
{
	struct heapstats before, after;
	size_t n = total / size;
	double truth, sigma;
	void **p = malloc(n * sizeof(*p));

	tick_set_sample_rate(rate);
	heapstats_read(&before);
	for (size_t i = 0; i < n; i++) {
		p[i] = heap_malloc(size);
		ck_assert_ptr_nonnull(p[i]);
	}
	heapstats_read(&after);
	ck_assert_uint_eq(after.mallocs - before.mallocs, n);
	truth = (double)(after.total_alloc - before.total_alloc);
	/*
	 * Samples are a Poisson number: 6 sigma fails once in 5e8 runs. A
	 * quick loop is thinned, by 8 at most for so few objects.
	 */
	sigma = sqrt((double)rate * (rate < 65536 ? 1 : 8) / truth);
	ck_assert_msg(fabs(estimate / truth - 1) < 6 * sigma + 0.002,
		"size %zu rate %lu: estimate %.0f of %.0f", size, rate,
		estimate, truth);
	for (size_t i = 0; i < n; i++)
		heap_free(p[i]);
	ck_assert_uint_eq(frees, allocs);
	ck_assert_uint_eq(weighed, 0);
	heapstats_read(&after);
	ck_assert_uint_eq(after.mallocs - after.frees,
		before.mallocs - before.frees);
	heap_check();
	free(p);
}

START_TEST(test_fair_small)
{
	fair(48, 4096, 40 * MIB);
}
END_TEST

START_TEST(test_fair_medium)
{
	fair(5000, 4096, 80 * MIB);
}
END_TEST

START_TEST(test_fair_large)
{
	fair(50000, 60000, 600 * MIB);
}
END_TEST

START_TEST(test_fair_huge)
{
	fair(3 * MIB, 4 * MIB, 3000 * MIB);
}
END_TEST

/* A loop so quick that samples are thinned: still fair, and few. */
START_TEST(test_fair_thinned)
{
	uint64_t n = 20000000, slot = 1 << 20;
	double truth = (double)(n * slot);

	tick_set_sample_rate(524288);
	for (uint64_t i = 0; i < n; i++)
		heap_free(heap_malloc(slot));
	ck_assert_uint_lt(allocs, n / 16);
	ck_assert_uint_gt(allocs, 100);
	ck_assert_uint_eq(allocs, frees);
	ck_assert_uint_eq(weighed, 0);
	/* 256 samples stand behind each that weighs twice as much. */
	ck_assert_double_le(fabs(estimate / truth - 1), 6 / sqrt(256.));
}
END_TEST

START_TEST(test_rate_zero_and_one)
{
	void *p;

	tick_set_sample_rate(0);
	for (int i = 0; i < 100000; i++)
		heap_free(heap_malloc(100));
	ck_assert_uint_eq(allocs, 0);
	tick_set_sample_rate(1);
	/* The class notices at its next tick. */
	for (int i = 0; i < 1000; i++)
		heap_free(heap_malloc(100));
	allocs = frees = 0;
	for (int i = 0; i < 1000; i++) {
		p = heap_malloc(100);
		ck_assert_uint_eq(allocs, (unsigned)i + 1);
		heap_free(p);
		ck_assert_uint_eq(frees, (unsigned)i + 1);
	}
}
END_TEST

START_TEST(test_record_all)
{
	size_t sizes[] = {1, 8, 9, 100, 1024, 1025, 30000, 40000, 2000000};
	struct objinfo *o;
	struct mspan *s;

	mcache_set_slack(1);
	objinfo_record_all();
	tick_set_sample_rate(1);
	for (size_t k = 0; k < NELEM(sizes); k++)
		for (int i = 0; i < 300; i++) {
			char *p = heap_malloc(sizes[k]);
			uint32_t slot;

			ck_assert_uint_ge(heap_usable_size(p), sizes[k]);
			s = arena_span((uintptr_t)p);
			/* One past the end lies in the same object. */
			ck_assert_ptr_eq(arena_span((uintptr_t)p + sizes[k]), s);
			slot = s->state == MSPAN_LARGE
				? 0
				: mspan_index(s, (uintptr_t)p);
			if (s->state == MSPAN_SMALL)
				ck_assert_uint_eq(mspan_index(s,
							  (uintptr_t)p +
								  sizes[k]),
					slot);
			o = objinfo_of(s, slot);
			ck_assert_ptr_nonnull(o);
			ck_assert_uint_eq(o->stack, allocs);
			ck_assert_uint_eq(objinfo_size(s, o), sizes[k]);
			heap_free(p);
		}
	heap_check();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tick");
	TCase *tc = tcase_create("core");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, test_fair_small);
	tcase_add_test(tc, test_fair_medium);
	tcase_add_test(tc, test_fair_large);
	tcase_add_test(tc, test_fair_huge);
	if (!SANITIZED) /* a loop that is not quick is not thinned */
		tcase_add_test(tc, test_fair_thinned);
	tcase_add_test(tc, test_rate_zero_and_one);
	tcase_add_test(tc, test_record_all);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
