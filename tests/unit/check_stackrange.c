/* SPDX-License-Identifier: MIT */
/* stackrange against what was mapped. */
#include "profile/stackrange.h"
#include "os/sandbox.h"
#include "os/sysmem.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGES = 64 };

static char *area;
static bool readable[PAGES];

static void protect(size_t page, bool on)
{
	mprotect(area + page * OS_PAGE, OS_PAGE, on ? PROT_READ : PROT_NONE);
	readable[page] = on;
}

static void setup(void)
{
	area = mmap(NULL, PAGES * OS_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < PAGES; i++)
		protect(i, i % 11 && i % 7 != 3);
}

static uintptr_t word(size_t page, size_t n)
{
	return (uintptr_t)area + page * OS_PAGE + n * 8;
}

/* Every page that s vouches for is readable, and its ranges are apart. */
static void check(const struct stackrange *s)
{
	uintptr_t lo[4] = {s->lo}, hi[4] = {s->hi};

	for (size_t i = 0; i < 3; i++) {
		lo[i + 1] = s->old[i].lo;
		hi[i + 1] = s->old[i].hi;
	}
	for (size_t i = 0; i < 4; i++) {
		for (uintptr_t p = lo[i]; p < hi[i]; p += OS_PAGE) {
			ck_assert_uint_lt(p - (uintptr_t)area, PAGES * OS_PAGE);
			ck_assert(readable[(p - (uintptr_t)area) / OS_PAGE]);
		}
		for (size_t k = 0; k < i; k++)
			ck_assert(lo[i] >= hi[k] || lo[k] >= hi[i]);
	}
}

START_TEST(any_order)
{
	struct stackrange s = {0};
	unsigned seed = 3;

	for (int i = 0; i < 20000; i++) {
		size_t page = (size_t)rand_r(&seed) % PAGES;
		uintptr_t addr = word(page, (size_t)rand_r(&seed) % 512);
		bool found = stackrange_find(&s, addr);

		ck_assert_int_eq(found, readable[page]);
		if (found)
			ck_assert(addr >= s.lo && addr + 8 <= s.hi);
		if (i % 50 == 0)
			check(&s);
		if (i % 500 == 0) {
			protect(page, !readable[page]);
			stackrange_unmapped(word(page, 0), word(page + 1, 0));
		}
	}
}
END_TEST

START_TEST(grows_upwards_as_walks_do)
{
	struct stackrange s = {0};

	for (size_t i = 0; i < PAGES; i++)
		protect(i, i != 40);
	for (size_t n = 10 * 512; n < 40 * 512; n++)
		ck_assert(stackrange_find(&s, word(0, n)));
	ck_assert_uint_eq(s.lo, word(10, 0));
	ck_assert_uint_eq(s.hi, word(40, 0));
	ck_assert(!stackrange_find(&s, word(40, 0)));
	ck_assert_uint_eq(s.hi, word(40, 0));
	/* And a deeper stack later, a jump and the pages in between. */
	ck_assert(stackrange_find(&s, word(5, 511)));
	for (size_t page = 6; page < 10; page++)
		ck_assert(stackrange_find(&s, word(page, 0)));
	ck_assert_uint_eq(s.lo, word(5, 0));
	ck_assert_uint_eq(s.hi, word(40, 0));
}
END_TEST

START_TEST(nonsense)
{
	struct stackrange s = {0};

	ck_assert(!stackrange_find(&s, 0));
	ck_assert(!stackrange_find(&s, word(1, 0) + 4));
	ck_assert(!stackrange_find(&s, UINTPTR_MAX - 7));
	ck_assert(!stackrange_find(&s, (uintptr_t)1 << 50));
	ck_assert_uint_eq(s.hi, 0);
	ck_assert(stackrange_readable(word(1, 511)));
	ck_assert(!stackrange_readable(word(0, 0)));
}
END_TEST

START_TEST(flush)
{
	struct stackrange s = {0};
	uint32_t epoch = stackrange_epoch;

	ck_assert(stackrange_find(&s, word(1, 0)));
	/* Memory where no stack was seen is nobody's business. */
	stackrange_unmapped(0x10000000, 0x10400000);
	ck_assert_uint_eq(stackrange_epoch, epoch);
	stackrange_unmapped(word(1, 0), word(2, 0));
	ck_assert_uint_ne(stackrange_epoch, epoch);
	epoch = stackrange_epoch;
	stackrange_unmapped(0, UINTPTR_MAX);
	ck_assert_uint_ne(stackrange_epoch, epoch);
}
END_TEST

START_TEST(no_questions)
{
	struct stackrange s = {0};

	ck_assert(stackrange_find(&s, word(1, 0)));
	sandboxed = SANDBOX_FILTER;
	ck_assert(stackrange_readable(word(1, 0)));
	sandboxed = SANDBOX_STRICT;
	ck_assert(stackrange_find(&s, word(1, 5)));
	ck_assert(!stackrange_find(&s, word(2, 0)));
	ck_assert(!stackrange_readable(word(1, 0)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stackrange");
	TCase *tc = tcase_create("stackrange");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, any_order);
	tcase_add_test(tc, grows_upwards_as_walks_do);
	tcase_add_test(tc, nonsense);
	tcase_add_test(tc, flush);
	tcase_add_test(tc, no_questions);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
