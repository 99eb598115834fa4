/* SPDX-License-Identifier: MIT */
/* Frames by number: one for each place, whatever else is in the table. */
#include "gc/frametab.h"

#include <check.h>
#include <stdlib.h>

enum { PLACES = 5000 };

static const char *const modules[] = {"/a", "/b"};

static struct leak_frame frame(unsigned i)
{
	/* The same pc in two modules, one after the other. */
	return (struct leak_frame){.pc = 0x1000 + i / 2 * 64,
		.module = modules[i % 2]};
}

START_TEST(test_numbers)
{
	struct frametab t = {0};

	for (unsigned i = 0; i < PLACES; i++) {
		struct leak_frame f = frame(i), old = frame(i / 3);

		ck_assert_uint_eq(frametab_number(&t, &f), i);
		ck_assert_uint_eq(frametab_number(&t, &f), i);
		ck_assert_uint_eq(frametab_number(&t, &old), i / 3);
	}
	ck_assert_uint_eq(t.n, PLACES);
	for (unsigned i = 0; i < PLACES; i++) {
		ck_assert_uint_eq(t.of[i].pc, frame(i).pc);
		ck_assert_ptr_eq(t.of[i].module, frame(i).module);
	}
	frametab_free(&t);
	ck_assert_ptr_null(t.of);
	ck_assert_uint_eq(t.n, 0);
}
END_TEST

/* A name that could not be had the first time makes another frame. */
START_TEST(test_names)
{
	struct frametab t = {0};
	struct leak_frame f = {.pc = 1}, named = {.pc = 1, .function = "f"};

	ck_assert_uint_eq(frametab_number(&t, &f), 0);
	ck_assert_uint_eq(frametab_number(&t, &named), 1);
	ck_assert_uint_eq(frametab_number(&t, &f), 0);
	frametab_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frametab");
	TCase *tc = tcase_create("frametab");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_numbers);
	tcase_add_test(tc, test_names);
	suite_add_tcase(s, tc);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
