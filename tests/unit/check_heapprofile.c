/* SPDX-License-Identifier: MIT */
/* The adapter against buckets filled by hand. */
#include "observe/heapprofile.h"
#include "profile/bucket.h"
#include "profile/modules.h"
#include "profile/stacktab.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static uintptr_t here(void)
{
	return (uintptr_t)__builtin_return_address(0);
}

START_TEST(buckets)
{
	uintptr_t pc[3] = {(uintptr_t)here, 0x2000, 0x3000}, got[8];
	uint32_t a = stacktab_intern(pc, 3, 0), b = stacktab_intern(pc, 2, 0);
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	const struct pprof_bucket *p;

	bucket_allocated(bucket_get(a, 64), 10, 640);
	bucket_freed(bucket_get(a, 64), 3, 192);
	bucket_allocated(bucket_get(a, 128), 1, 128);
	bucket_freed(bucket_get(a, 128), 1, 128);
	bucket_allocated(bucket_get(b, 64), 2, 128);
	ck_assert_int_eq(heapprofile_take(&s), 0);
	ck_assert_uint_eq(s.n, 3);
	p = pprof_buckets(&s);
	for (size_t i = 0; i < 3; i++) {
		size_t n = stacktab_frames(p[i].stack, got, 8);

		ck_assert_uint_eq(n, p[i].stack == a ? 3 : 2);
		ck_assert_mem_eq(got, pc, n * sizeof(*pc));
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(p[i].id, p[k].id);
		if (p[i].stack == b) {
			ck_assert_int_eq(p[i].inuse, 2);
			ck_assert_int_eq(p[i].inuse_bytes, 128);
		} else if (p[i].size == 64) {
			ck_assert_int_eq(p[i].allocs, 10);
			ck_assert_int_eq(p[i].alloc_bytes, 640);
			ck_assert_int_eq(p[i].inuse, 7);
			ck_assert_int_eq(p[i].inuse_bytes, 448);
		} else {
			ck_assert_uint_eq(p[i].size, 128);
			ck_assert_int_eq(p[i].allocs, 1);
			ck_assert_int_eq(p[i].inuse, 0);
			ck_assert_int_eq(p[i].inuse_bytes, 0);
		}
	}
	pprof_free(&s);
}
END_TEST

START_TEST(mappings)
{
	struct grow g = GROW_INIT(MIB);
	const struct pprof_mapping *m;
	size_t n, hits = 0;

	modules_refresh();
	ck_assert(heapprofile_mappings(&g));
	m = (const void *)g.p;
	n = g.len / sizeof(*m);
	ck_assert_uint_ge(n, 2);
	/* The program itself is first. */
	ck_assert_ptr_nonnull(strstr(m[0].file, "check_heapprofile"));
	ck_assert_uint_ge((uintptr_t)here, m[0].start);
	ck_assert_uint_lt((uintptr_t)here, m[0].limit);
	ck_assert_uint_gt(m[0].build_id_len, 0);
	for (size_t i = 0; i < n; i++)
		hits += m[i].start <= (uintptr_t)strlen &&
			(uintptr_t)strlen < m[i].limit;
	ck_assert_uint_eq(hits, 1);
	grow_free(&g);
}
END_TEST

START_TEST(whole_profile)
{
	uintptr_t pc = (uintptr_t)here + 1;
	struct grow g = GROW_INIT(MIB);
	struct fmt f;

	modules_refresh();
	bucket_allocated(bucket_get(stacktab_intern(&pc, 1, 0), 32), 1, 32);
	grow_fmt(&g, &f);
	ck_assert_int_eq(heapprofile_write(&f, false), 0);
	ck_assert(grow_fmt_end(&g, &f));
	ck_assert_mem_eq(g.p, "\x1f\x8b\x08", 3);
	/* Stored blocks: names can be seen with the naked eye. */
	ck_assert_ptr_nonnull(
		memmem(g.p, g.len, "check_heapprofile", 17));
	grow_free(&g);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heapprofile");
	TCase *t = tcase_create("heapprofile");
	SRunner *r;
	int failed;

	tcase_add_test(t, buckets);
	tcase_add_test(t, mappings);
	tcase_add_test(t, whole_profile);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
