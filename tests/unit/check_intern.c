/* SPDX-License-Identifier: MIT */
/* intern against a plain array of all keys seen. */
#include "observe/intern.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

START_TEST(numbers_in_order)
{
	static char seen[20000][12];
	struct intern t = INTERN_INIT;
	uint32_t n = 0, state = 1;
	char key[12];
	size_t len;

	for (int i = 0; i < 60000; i++) {
		uint32_t expect = 0, id;

		state = state * 1103515245 + 12345;
		/* 20000 different keys, in an order that repeats them. */
		snprintf(key, sizeof(key), "k%u", (state >> 8) % 20000);
		for (uint32_t k = 0; k < n && !expect && i % 64 == 0; k++)
			if (!strcmp(seen[k], key))
				expect = k + 1;
		id = intern_id(&t, key, strlen(key));
		ck_assert_uint_ne(id, 0);
		if (id == n + 1)
			strcpy(seen[n++], key);
		ck_assert_str_eq(seen[id - 1], key);
		if (expect)
			ck_assert_uint_eq(id, expect);
	}
	ck_assert_uint_eq(t.n, n);
	ck_assert(intern_check(&t));
	for (uint32_t id = 1; id <= n; id++) {
		const char *p = intern_key(&t, id, &len);

		ck_assert_uint_eq(len, strlen(seen[id - 1]));
		ck_assert_mem_eq(p, seen[id - 1], len);
	}
	intern_free(&t);
}
END_TEST

START_TEST(lengths_matter)
{
	struct intern t = INTERN_INIT;
	uint32_t a = intern_id(&t, "a\0\0\0\0\0\0\0", 8);

	ck_assert_uint_eq(a, 1);
	ck_assert_uint_eq(intern_id(&t, "a", 1), 2);
	ck_assert_uint_eq(intern_id(&t, "a\0", 2), 3);
	ck_assert_uint_eq(intern_id(&t, "", 0), 4);
	ck_assert_uint_eq(intern_id(&t, "a", 1), 2);
	ck_assert_uint_eq(intern_id(&t, "", 0), 4);
	ck_assert(intern_check(&t));
	intern_free(&t);
}
END_TEST

/* Whatever request is refused, the table stays whole and goes on after. */
START_TEST(refused_memory)
{
	for (long after = 0; after < 8; after++) {
		struct intern t = INTERN_INIT;
		uint32_t stored = 0, id;

		sysmem_fail_after = after;
		for (uint32_t i = 0; i < 6000; i++) {
			id = intern_id(&t, &i, sizeof(i));
			if (!id)
				continue;
			ck_assert_uint_eq(id, stored + 1);
			stored++;
		}
		ck_assert_uint_eq(t.n, stored);
		ck_assert(stored == 0 || intern_check(&t));
		sysmem_fail_after = -1;
		id = stored;
		ck_assert_uint_eq(intern_id(&t, "new", 3), stored + 1);
		ck_assert(intern_check(&t));
		intern_free(&t);
	}
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("intern");
	TCase *t = tcase_create("intern");
	SRunner *r;
	int failed;

	tcase_add_test(t, numbers_in_order);
	tcase_add_test(t, lengths_matter);
	tcase_add_test(t, refused_memory);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
