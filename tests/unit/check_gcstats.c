/* SPDX-License-Identifier: MIT */
/* Figures of cycles, the line about one, and when the next is due. */
#include "alloc/mheap.h"
#include "gc/gcpace.h"
#include "gc/gcstats.h"
#include "gc/gctrace.h"
#include "gc/lsan.h"
#include "gc/roots.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

START_TEST(test_ring)
{
	struct gcstats s;

	gcstats_read(&s);
	ck_assert_uint_eq(s.numgc, 0);
	ck_assert_uint_eq(s.next_gc, UINT64_MAX);
	for (uint32_t i = 1; i <= 600; i++) {
		gcstats_cycle(gcstats_begin(), i % 3 == 0, i, 1000 + i);
		gcstats_end();
	}
	gcstats_read(&s);
	ck_assert_uint_eq(s.numgc, 600);
	ck_assert_uint_eq(s.numforced, 200);
	ck_assert_uint_eq(s.pause_total_ns, 600 * 601 / 2);
	ck_assert_uint_eq(s.last_gc, 1600);
	for (uint32_t i = 0; i < GC_PAUSES; i++) {
		uint32_t at = (s.numgc + 255 - i) % 256;

		ck_assert_uint_eq(s.pause_ns[at], 600 - i);
		ck_assert_uint_eq(s.pause_end[at], 1600 - i);
	}
	gcstats_postfork_child();
	gcstats_read(&s);
	ck_assert_uint_eq(s.numgc, 0);
	ck_assert_uint_eq(s.next_gc, UINT64_MAX);
}
END_TEST

static bool stop;

static void *write_stats(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		struct gcstats *s = gcstats_begin();

		for (int k = 0; k < GC_PAUSES; k++)
			s->pause_ns[k] = i;
		s->last_gc = i;
		gcstats_end();
	}
	return NULL;
}

/* No reader ever sees half of an update. */
START_TEST(test_whole)
{
	pthread_t t;
	struct gcstats s;
	uint64_t last = 0;

	pthread_create(&t, NULL, write_stats, NULL);
	for (int i = 0; i < 20000; i++) {
		gcstats_read(&s);
		ck_assert_uint_ge(s.last_gc, last);
		last = s.last_gc;
		for (int k = 0; k < GC_PAUSES; k++)
			ck_assert_uint_eq(s.pause_ns[k], last);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
}
END_TEST

static const char *line(const struct gctrace *t)
{
	static char buf[512];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	gctrace_line(&f, t);
	return fmt_cstr(&f);
}

START_TEST(test_trace)
{
	struct gctrace t = {.number = 7,
		.since_start_ns = 12345678901,
		.cpu_fraction = 0.0678,
		.pause_ns = 28400,
		.mark_ns = 123456,
		.cpu_ns = 31000,
		.heap_start = 5 << 20,
		.heap_end = (6 << 20) - 1,
		.heap_marked = 1 << 20,
		.goal = 4 << 20,
		.globals = 3 << 20,
		.procs = 2,
		.forced = true};

	ck_assert_str_eq(line(&t),
		"gc 7 @12.345s 6%: 0.028+0.12+0 ms clock, "
		"0.056+0/0.031/0+0 ms cpu, 5->5->1 MB, 4 MB goal, 0 MB stacks, "
		"3 MB globals, 2 P (forced)\n");
	t.forced = false;
	t.pause_ns = 999;
	t.mark_ns = 9999999;
	t.cpu_ns = 10000000;
	t.procs = 1;
	ck_assert_str_eq(line(&t),
		"gc 7 @12.345s 6%: 0+9.9+0 ms clock, 0+0/10/0+0 ms cpu, "
		"5->5->1 MB, 4 MB goal, 0 MB stacks, 3 MB globals, 1 P\n");
	t.pause_ns = 1000;
	t.mark_ns = 1234567890;
	t.cpu_ns = 1050000;
	ck_assert_ptr_nonnull(strstr(line(&t), ": 0.001+1234+0 ms clock, "
					       "0.001+0/1.0/0+0 ms cpu, "));
}
END_TEST

START_TEST(test_pace)
{
	uint64_t mib = 1 << 20;

	ck_assert_int_eq(gcpace_percent(), -1);
	ck_assert_uint_eq(gcpace_goal(), UINT64_MAX);
	ck_assert(!gcpace_reached(UINT64_MAX - 1));
	ck_assert_int_eq(gcpace_set_percent(100), -1);
	ck_assert_uint_eq(gcpace_goal(), 4 * mib);
	ck_assert_int_eq(gcpace_set_percent(50), 100);
	ck_assert_uint_eq(gcpace_goal(), 2 * mib);
	gcpace_marked(100 * mib, 0);
	ck_assert_uint_eq(gcpace_goal(), 150 * mib);
	gcpace_marked(100 * mib, 20 * mib);
	ck_assert_uint_eq(gcpace_goal(), 160 * mib);
	ck_assert_uint_eq(mheap.gc_pages, 160 * mib / PAGE_SIZE);
	/* More pages than bytes: ask again when the rest may have come. */
	mheap.pages_inuse = 170 * mib / PAGE_SIZE;
	ck_assert(!gcpace_reached(150 * mib));
	ck_assert_uint_ge(mheap.gc_pages, 180 * mib / PAGE_SIZE);
	ck_assert_uint_le(mheap.gc_pages, 181 * mib / PAGE_SIZE);
	ck_assert(gcpace_reached(160 * mib));
	ck_assert_uint_eq(mheap.gc_pages, SIZE_MAX);
	/* A limit counts where it is nearer, and not below what lives. */
	gcpace_marked(100 * mib, 0);
	gcpace_set_ceiling(200 * mib);
	ck_assert_uint_eq(gcpace_goal(), 150 * mib);
	ck_assert(!gcpace_by_limit());
	gcpace_set_ceiling(120 * mib);
	ck_assert_uint_eq(gcpace_goal(), 120 * mib);
	ck_assert(gcpace_by_limit());
	ck_assert_uint_eq(mheap.gc_pages, 120 * mib / PAGE_SIZE);
	gcpace_set_ceiling(50 * mib);
	ck_assert_uint_eq(gcpace_goal(), 100 * mib);
	gcpace_set_ceiling(UINT64_MAX);
	ck_assert_uint_eq(gcpace_goal(), 150 * mib);
	/* No result at 170: as if all of that lived. */
	gcpace_put_off(170 * mib);
	ck_assert_uint_eq(gcpace_goal(), 255 * mib);
	gcpace_set_percent(-5);
	ck_assert_int_eq(gcpace_percent(), -1);
	ck_assert_uint_eq(mheap.gc_pages, SIZE_MAX);
	ck_assert_uint_eq(gcpace_goal(), UINT64_MAX);
}
END_TEST

START_TEST(test_lsan)
{
	uint32_t all = lsan_root_kinds();

	lsan_parse(
		"exitcode=7:use_stacks=0,max_leaks=12 report_objects=yes\n"
		"suppressions='/a b:c' log_path=\"x=y\":strip_path_prefix=/q",
		"test");
	ck_assert_int_eq(lsan.exitcode, 7);
	ck_assert(!lsan.use_stacks && lsan.use_globals && lsan.report_objects);
	ck_assert_uint_eq(lsan.max_leaks, 12);
	ck_assert_str_eq(lsan.suppressions, "/a b:c");
	ck_assert_str_eq(lsan.log_path, "x=y");
	ck_assert_uint_eq(all ^ lsan_root_kinds(), 1u << ROOT_STACK);
	ck_assert(all >> ROOT_KERNEL & 1);
	/* Later ones win; what makes no sense changes nothing. */
	lsan_parse("use_stacks=true:exitcode=x:detect_leaks=maybe", "test");
	ck_assert(lsan.use_stacks && lsan.detect_leaks);
	ck_assert_int_eq(lsan.exitcode, 7);
	lsan_parse("", "test");
	lsan_parse(NULL, "test");
	lsan_parse("detect_leaks=0 nonsense", "test");
	ck_assert(!lsan.detect_leaks);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gcstats");
	TCase *t = tcase_create("gcstats");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 240);
	tcase_add_test(t, test_ring);
	tcase_add_test(t, test_whole);
	tcase_add_test(t, test_trace);
	tcase_add_test(t, test_pace);
	tcase_add_test(t, test_lsan);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
