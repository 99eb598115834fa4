/* SPDX-License-Identifier: MIT */
/* When a cycle is due: by growth, by a limit, after one that was refused. */
#include "gc/gcpace.h"
#include "alloc/heap.h"
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "gc/snapshot.h"
#include "os/writetrack.h"
#include "support/cycles.h"
#include "support/run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int requests;

static void request(void)
{
	requests++;
}

START_TEST(test_due)
{
	enum gc_reason reason;
	int64_t again;
	void **all = NULL;

	gc_hooks.request = request;
	set("GOGC=100");
	ck_assert(!gc_due(&reason, &again));
	ck_assert_int_lt(again, INT64_MAX); /* two minutes */
	/* Asked by pages in use, decided by bytes: perhaps not the first time. */
	for (;;) {
		int asked = requests;
		void **p = memset(heap_malloc(4096), 0, 4096);

		*p = all;
		all = p;
		if (requests != asked && gc_due(&reason, &again))
			break;
	}
	ck_assert_int_eq(reason, GC_HEAP);
	ck_assert_ptr_null(gc_cycle(reason, false));
	ck_assert_uint_gt(stats().next_gc, 7 << 20);
	ck_assert_uint_eq(stats().next_gc, gcpace_goal());
	ck_assert(!gc_due(&reason, &again));
	/* The child's allocator asks at the same size as its parent's. */
	mheap.gc_pages = SIZE_MAX;
	gc_prefork();
	gc_postfork_child();
	ck_assert_uint_eq(mheap.gc_pages, gcpace_goal() / PAGE_SIZE);
	ck_assert_int_eq(gc_set_percent(-1), 100);
	ck_assert_uint_eq(stats().next_gc, UINT64_MAX);
	ck_assert(!gc_due(&reason, &again));
	ck_assert_int_eq(again, INT64_MAX);
	ck_assert_ptr_nonnull(all);
}
END_TEST

/* A cycle that is due and can't be had is put off, not tried for ever. */
START_TEST(test_put_off)
{
	static char *big;
	enum gc_reason reason;
	int64_t again;

	set("GOGC=100");
	big = heap_malloc(80 << 20); /* too large to be marked in place */
	snapshot_refuse = EAGAIN;
	writetrack_refuse = WRITETRACK_OLD;
	ck_assert(gc_due(&reason, &again));
	ck_assert_str_eq(gc_cycle(reason, false),
		"the process can't be copied, its heap is large, and the "
		"kernel does not track writes");
	ck_assert_uint_eq(stats().cycles[GC_HEAP][GC_REFUSED], 1);
	ck_assert(!gc_due(&reason, &again));
	ck_assert_uint_ge(gcpace_goal(), 160 << 20);
	writetrack_refuse = WRITETRACK_OK;
	if (!no_parts())
		ck_assert_ptr_null(gc_cycle(reason, false));
	snapshot_refuse = 0;
	ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
	heap_free(big);
}
END_TEST

/* GOGC=off, but a limit: what it leaves is the goal. */
START_TEST(test_limit)
{
	static char *volatile keep[64];
	enum gc_reason reason;
	int64_t again;

	set("GOSTAT_GC=reclaim");
	gc_set_percent(-1);
	ck_assert(!gc_due(&reason, &again));
	limits_set_memory(128 << 20);
	ck_assert(!gc_due(&reason, &again));
	ck_assert_uint_lt(stats().next_gc, 128 << 20);
	ck_assert_uint_gt(stats().next_gc, 64 << 20);
	for (int i = 0; i < 64; i++)
		keep[i] = memset(heap_malloc(2 << 20), 1, 2 << 20);
	usleep(20000);
	ck_assert(gc_due(&reason, &again));
	ck_assert_int_eq(reason, GC_LIMIT);
	memset((void *)(uintptr_t)keep, 0, sizeof(keep));
	ck_assert_ptr_null(gc_cycle(reason, false));
	ck_assert_uint_ge(stats().reclaimed_bytes, 60 * (2 << 20));
	/* All of it lives: cycles are kept apart. */
	ck_assert(!gc_due(&reason, &again));
	limits_set_memory(1 << 20);
	for (int i = 0; i < 4; i++)
		keep[i] = memset(heap_malloc(2 << 20), 1, 2 << 20);
	ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
	/* On a busy machine the time between two may have gone by at once. */
	do {
		while (!gc_due(&reason, &again))
			usleep(10000);
		ck_assert_ptr_null(gc_cycle(reason, false));
	} while (gc_due(&reason, &again));
	ck_assert_int_lt(again, INT64_MAX);
	limits_set_memory(INT64_MAX);
	ck_assert(!gc_due(&reason, &again));
	ck_assert_int_eq(again, INT64_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gcpace");
	TCase *t = new_case(s, "gcpace");

	tcase_add_test(t, test_due);
	tcase_add_test(t, test_put_off);
	tcase_add_test(t, test_limit);
	return run_suite(s);
}
