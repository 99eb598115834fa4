/* SPDX-License-Identifier: MIT */
/* json_string() against what Go's encoding/json wrote for the same bytes. */
#include "base/json.h"

#include <check.h>
#include <stdlib.h>

static const struct {
	const char *s;
	size_t n;
	const char *json;
} cases[] = {
	{"", 0, "\"\""},
	{"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
	{"<>&'", 4, "\"\\u003c\\u003e\\u0026'\""},
	{"\0\1\x1f\x7f\n\r\t\b\f", 9,
		"\"\\u0000\\u0001\\u001f\x7f\\n\\r\\t\\u0008\\u000c\""},
	{"\xc3\xa4\xe2\x82\xac\xf0\x90\x8d\x88", 9,
		"\"\xc3\xa4\xe2\x82\xac\xf0\x90\x8d\x88\""},
	{"\xff\xfe\xc0\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	{"\xe2\x82", 2, "\"\\ufffd\\ufffd\""},
	{"\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""},
	{"\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
	{"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9,
		"\"\\u2028\\u2029\xe2\x80\xaa\""},
	{"\xf0\x9f\x98\x80x\xe2", 6, "\"\xf0\x9f\x98\x80x\\ufffd\""},
};

START_TEST(as_go)
{
	char buf[200];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	json_string(&f, cases[_i].s, cases[_i].n);
	ck_assert_str_eq(fmt_cstr(&f), cases[_i].json);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("json");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, as_go, 0, (int)NELEM(cases));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
