/* SPDX-License-Identifier: MIT */
/* fixalloc against a list of what is out: zeroed, apart, given back. */
#include "alloc/fixalloc.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 112, MAX = 5000 };

static struct fixalloc f = {.size = SIZE, .kind = SYS_OTHER};
static unsigned char *out[MAX];

static bool all(const unsigned char *p, unsigned char value)
{
	for (int i = 0; i < SIZE; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void take(unsigned i)
{
	out[i] = fixalloc_alloc(&f);
	ck_assert_ptr_nonnull(out[i]);
	ck_assert_uint_eq((uintptr_t)out[i] % 16, 0);
	ck_assert_msg(all(out[i], 0), "not zeroed");
	memset(out[i], (int)(i % 255 + 1), SIZE);
}

static void give(unsigned i)
{
	/* Nobody else's fill: objects do not overlap. */
	ck_assert_msg(all(out[i], (unsigned char)(i % 255 + 1)), "overwritten");
	fixalloc_free(&f, out[i]);
	out[i] = NULL;
}

START_TEST(test_random)
{
	const char *env = getenv("CHECK_SEED");
	unsigned seed = env ? (unsigned)atoi(env) : 7;
	size_t n = 0;

	for (int k = 0; k < 400000; k++) {
		unsigned i;

		seed = seed * 1664525 + 1013904223;
		i = (seed >> 8) % MAX;
		if (out[i])
			give(i), n--;
		else
			take(i), n++;
		ck_assert_uint_eq(f.inuse, n * SIZE);
	}
	for (unsigned i = 0; i < MAX; i++)
		if (out[i])
			give(i);
	ck_assert_uint_eq(f.inuse, 0);
}
END_TEST

/* What was full of objects takes them again without new memory. */
START_TEST(test_reuse)
{
	uint64_t sys;

	for (unsigned i = 0; i < MAX; i++)
		take(i);
	sys = sysmem_sys(SYS_OTHER);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MAX; i++)
			give(i);
		for (unsigned i = 0; i < MAX; i++)
			take(i);
	}
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), sys);
}
END_TEST

START_TEST(test_refused)
{
	unsigned n = 0;

	sysmem_fail_after = 0;
	while (n < MAX && (out[n] = fixalloc_alloc(&f)) != NULL)
		n++;
	ck_assert_uint_eq(n, 0);
	sysmem_fail_after = -1;
	take(0);
	give(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fixalloc");
	TCase *tc = tcase_create("core");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, test_random);
	tcase_add_test(tc, test_reuse);
	tcase_add_test(tc, test_refused);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
