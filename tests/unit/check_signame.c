/* SPDX-License-Identifier: MIT */
#include "base/signame.h"

#include <check.h>
#include <signal.h>
#include <string.h>

static int parse(const char *s)
{
	return signame_parse(s, strlen(s));
}

START_TEST(test_names)
{
	ck_assert_int_eq(parse("USR1"), SIGUSR1);
	ck_assert_int_eq(parse("SIGUSR1"), SIGUSR1);
	ck_assert_int_eq(parse("sigusr2"), SIGUSR2);
	ck_assert_int_eq(parse("10"), 10);
	ck_assert_int_eq(parse("POLL"), SIGIO);
	ck_assert_int_eq(parse("RTMIN"), SIGRTMIN);
	ck_assert_int_eq(parse("SIGRTMIN+3"), SIGRTMIN + 3);
	ck_assert_int_eq(parse("rtmax-1"), SIGRTMAX - 1);
	ck_assert_int_eq(parse("RTMAX"), SIGRTMAX);
	ck_assert_int_eq(parse("64"), 64);
	ck_assert_int_eq(signame_parse("USR1:stats", 4), SIGUSR1);
}
END_TEST

START_TEST(test_refused)
{
	static const char *const bad[] = {"", "SIG", "USR", "USR11", "USR3",
		"KILL", "9", "STOP", "0", "32", "33", "65", "100", "-1", "1x",
		"RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "SIG10",
		"RTMIN+x", "SIGSIGUSR1", " USR1", "USR1 "};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(
			!parse(bad[i]), "'%s' gave %d", bad[i], parse(bad[i]));
}
END_TEST

/* libc knows the names too; and each printed name reads back. */
START_TEST(test_round_trip)
{
	char buf[SIGNAME_MAX];

	for (int s = 1; s < SIGRTMIN; s++) {
		const char *libc = sigabbrev_np(s);

		if (!libc || s == SIGKILL || s == SIGSTOP)
			continue;
		ck_assert_int_eq(parse(libc), s);
		ck_assert_str_eq(signame(s, buf), s == SIGIO ? "IO" : libc);
		ck_assert_int_eq(parse(buf), s);
	}
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
		ck_assert_int_eq(parse(signame(s, buf)), s);
	ck_assert_str_eq(signame(33, buf), "33");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("signame");
	TCase *tc = tcase_create("signame");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_round_trip);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
