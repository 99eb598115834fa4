/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_RUN_H
#define GOSTAT_TESTS_RUN_H

/*
 * What the allocator's test programs have in common. The heap is one for each
 * process, so every test relies on Check to run it in a process of its own.
 */

#include "base/attrs.h"
#include "support/capture.h"
#include "support/sanitizer.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum { TEST_SECONDS = 240 }; /* a hang, not a limit on speed */

/*
 * For what has a limit in nanoseconds: no test sees the end of it, however busy
 * the machine is.
 */
#define LONG (2 * TEST_SECONDS * INT64_C(1000000000))

/*
 * For inner loops and threads: Check notes each ck_assert() in a file, these
 * cost a comparison.
 */
#define MUST(x) ((x) ? (void)0 : (void)ck_abort_msg("%s does not hold", #x))
#define MUST_EQ(a, b)                                                          \
	do {                                                                   \
		uintmax_t a_ = (uintmax_t)(a), b_ = (uintmax_t)(b);            \
		if (a_ != b_)                                                  \
			ck_abort_msg("%s == %s: %ju (%#jx), %ju (%#jx)", #a,   \
				#b, a_, a_, b_, b_);                           \
	} while (0)

static inline TCase *new_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, TEST_SECONDS);
	suite_add_tcase(s, tc);
	return tc;
}

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

/* fn(arg) must end its process with SIGABRT, after a line with text in it. */
static inline void expect_abort(void (*fn)(void *), void *arg,
	const char *text)
{
	char *line;
	int status;
	pid_t pid;

	capture_start(STDERR_FILENO);
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		fn(arg);
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	line = capture_end();
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
		"status %#x instead of SIGABRT: %s", status, line);
	ck_assert_msg(!strncmp(line, "gostat: ", 8) && strstr(line, text),
		"\"%s\" is not in: %s", text, line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	free(line);
}

/* fn(arg) runs in a child and must return true. */
static inline void in_child(bool (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(arg) ? 0 : 1);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		"child ended with status %#x", status);
}

#endif
