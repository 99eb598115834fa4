/* SPDX-License-Identifier: MIT */
/* How near the limits are, with control groups in a folder of our own. */
#include "alloc/heap.h"
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "base/options.h"
#include "support/capture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *name, uint64_t value)
{
	char path[200];
	FILE *f;

	sprintf(path, "%s/%s", root, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "%lu\n", value);
	fclose(f);
}

static void put_text(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	sprintf(path, "%s/%s", root, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* One group, the mount point itself. */
static void make_root(void)
{
	static const char *const folders[] = {"proc", "proc/self", "group"};
	char path[200];

	strcpy(root, "/tmp/check_limits.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	for (unsigned i = 0; i < NELEM(folders); i++) {
		sprintf(path, "%s/%s", root, folders[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	put_text("proc/self/cgroup", "0::/\n");
	put_text("proc/self/mountinfo",
		"30 23 0:26 / /group rw - cgroup2 cgroup2 rw\n");
}

static void remove_root(void)
{
	char command[100];

	sprintf(command, "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(test_auto)
{
	ck_assert_int_eq(limits_auto("/no/such/folder"), INT64_MAX);
	ck_assert_int_eq(limits_auto(root), INT64_MAX);
	put_text("group/memory.max", "max\n");
	ck_assert_int_eq(limits_auto(root), INT64_MAX);
	put("group/memory.max", 1000);
	ck_assert_int_eq(limits_auto(root), 900);
	put("group/memory.max", 1009);
	ck_assert_int_eq(limits_auto(root), 908);
	put("group/memory.max", UINT64_C(1) << 60);
	ck_assert_int_eq(limits_auto(root),
		(int64_t)((UINT64_C(1) << 60) / 10 * 9 + 5));
}
END_TEST

static unsigned looks;
static struct limits_state state;
static bool any;

static void look(void)
{
	looks++;
	any = limits_nearest(&state);
}

/* Without limits: rarely asked, nothing said. */
START_TEST(test_none)
{
	limits_watch(look, root);
	heap_free(heap_malloc(100));
	ck_assert_uint_ge(looks, 1);
	ck_assert(!any);
	looks = 0;
	for (int i = 0; i < 64; i++)
		ck_assert_ptr_nonnull(heap_malloc(MIB));
	/* Every 16 MiB, whatever else is taken. */
	ck_assert_uint_ge(looks, 3);
	ck_assert_uint_le(looks, 6);
}
END_TEST

/* The heap's own limit: every part of it is passed with open eyes. */
START_TEST(test_max_heap)
{
	double last = 0;

	limits_set_max_heap(100 * MIB);
	limits_watch(look, root);
	for (unsigned n = 0; heap_malloc(MIB / 2); n++) {
		double now = (double)state.used / (double)state.limit;

		if (!looks)
			continue;
		ck_assert(any);
		ck_assert_int_eq(state.kind, LIMIT_MAXHEAP);
		ck_assert_uint_eq(state.limit, 100 * MIB);
		ck_assert(now >= last && now - last < 0.15);
		last = now;
	}
	ck_assert(last > 0.97);
}
END_TEST

START_TEST(test_memory_limit)
{
	void *p;

	limits_set_memory(200 * MIB);
	limits_watch(look, root);
	p = heap_malloc(150 * MIB);
	ck_assert(any);
	ck_assert_int_eq(state.kind, LIMIT_MEMORY);
	ck_assert_uint_ge(state.used, 150 * MIB);
	ck_assert_uint_le(state.used, 170 * MIB);
	/* What is idle does not count. */
	heap_free(p);
	any = false;
	p = heap_malloc(20 * MIB);
	look();
	ck_assert(any);
	ck_assert_uint_le(state.used, 60 * MIB);
	heap_free(p);
}
END_TEST

START_TEST(test_cgroup)
{
	put("group/memory.max", 1000 * MIB);
	put("group/memory.current", 100 * MIB);
	limits_set_max_heap(1000000 * MIB);
	limits_watch(look, root);
	heap_malloc(100);
	ck_assert(any);
	ck_assert_int_eq(state.kind, LIMIT_CGROUP);
	ck_assert_uint_ge(state.used, 100 * MIB);
	ck_assert_uint_le(state.used, 101 * MIB);
	/* Taken, but not touched. */
	heap_malloc(300 * MIB);
	ck_assert_uint_ge(state.used, 400 * MIB);
	ck_assert_uint_le(state.used, 420 * MIB);
	/* Not to be touched, it would not fit. */
	heap_malloc(1100 * MIB);
	ck_assert_uint_le(state.used, 120 * MIB);
	/* Near the limit there are more looks. */
	put("group/memory.current", 990 * MIB);
	heap_malloc(20 * MIB);
	looks = 0;
	for (int i = 0; i < 16; i++)
		heap_malloc(3 * MIB / 2);
	ck_assert_uint_ge(looks, 15);
	ck_assert_uint_ge(state.used, 990 * MIB);
	/* The limit may change. */
	put("group/memory.max", 5000 * MIB);
	heap_malloc(2 * MIB);
	ck_assert_uint_eq(state.limit, 5000 * MIB);
}
END_TEST

/* A line for each time, however the size is come to; no test of the clock. */
static unsigned warnings(char *text)
{
	unsigned n = 0;

	for (char *p = text; (p = strstr(p, "is above GOSTAT_WARN_HEAP")); p++)
		n++;
	free(text);
	return n;
}

START_TEST(test_warn)
{
	void *small[100];

	limits_set_warn(10 * MIB);
	for (int i = 0; i < 3; i++) {
		void *p;

		usleep(20000);
		capture_start(STDERR_FILENO);
		p = heap_malloc(9 * MIB);
		ck_assert_uint_eq(warnings(capture_end()), 0);
		capture_start(STDERR_FILENO);
		for (size_t k = 0; k < NELEM(small); k++)
			small[k] = heap_malloc(30000);
		ck_assert_uint_eq(warnings(capture_end()), 1);
		for (size_t k = 0; k < NELEM(small); k++)
			heap_free(small[k]);
		heap_free(p);
		usleep(20000);
		capture_start(STDERR_FILENO);
		p = heap_malloc(30 * MIB);
		ck_assert_uint_eq(warnings(capture_end()), 1);
		capture_start(STDERR_FILENO);
		heap_free(heap_malloc(30 * MIB));
		ck_assert_uint_eq(warnings(capture_end()), 0);
		heap_free(p);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limits");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, make_root, remove_root);
	tcase_add_test(t, test_auto);
	tcase_add_test(t, test_none);
	tcase_add_test(t, test_max_heap);
	tcase_add_test(t, test_memory_limit);
	tcase_add_test(t, test_cgroup);
	tcase_add_test(t, test_warn);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
