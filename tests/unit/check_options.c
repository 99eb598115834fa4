/* SPDX-License-Identifier: MIT */
/* Every test runs in a child of its own, so it starts from the defaults. */
#include "base/options.h"
#include "support/capture.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Parse NULL-ended settings; what came out on stderr, to be freed. */
#define PARSE(...) parse(false, (char *[]){__VA_ARGS__, NULL})

static char *parse(bool secure, char **envp)
{
	capture_start(STDERR_FILENO);
	options_parse(envp, secure);
	return capture_end();
}

static void expect_silent(char *said)
{
	ck_assert_str_eq(said, "");
	free(said);
}

/* One line that holds all of the words. */
static void expect_line(char *said, const char *a, const char *b, const char *c)
{
	ck_assert_msg(!strncmp(said, "gostat: ", 8), "said: %s", said);
	ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
	ck_assert_msg(strstr(said, a) && strstr(said, b) && strstr(said, c),
		"no '%s', '%s', '%s' in: %s", a, b, c, said);
	free(said);
}

START_TEST(test_defaults)
{
	expect_silent(PARSE("PATH=/bin", "HOME=/", "GOSTAT", "GOSTATX=1"));
	ck_assert_int_eq(options->gogc, GOGC_OFF);
	ck_assert(options->memlimit == INT64_MAX);
	ck_assert_int_eq(options->gc, GC_REPORT);
	ck_assert_uint_eq(options->maxheap, 0);
	ck_assert_uint_eq(options->signal.n, 1);
	ck_assert_int_eq(options->signal.of[0].signo, SIGUSR1);
	ck_assert_uint_eq(options->signal.of[0].actions, ACTION_STATS);
	ck_assert(!options->signal.given);
	ck_assert_ptr_null(options->dump);
	ck_assert_int_eq(options->format, FORMAT_TEXT);
	ck_assert_uint_eq(options->atexit, 0);
	ck_assert_ptr_null(options->socket);
	ck_assert_uint_eq(options->profile_rate, 524288);
	ck_assert_uint_eq(options->stack_depth, 64);
	ck_assert_int_eq(options->leakcheck, LEAKCHECK_OFF);
	ck_assert_uint_eq(options->leakcheck_exitcode, 23);
	ck_assert_ptr_null(options->suppressions);
	ck_assert_int_eq(options->roots, ROOTS_ALL);
	ck_assert(!options->unaligned && options->pointer_tags == 0);
	ck_assert_ptr_null(options->lsan_options);
	ck_assert_ptr_null(options->trace);
	ck_assert_uint_eq(options->godebug.gctrace, 0);
	ck_assert_ptr_null(options->oom_dump);
	ck_assert_uint_eq(options->warn_heap, 0);
	ck_assert(!options->harden && options->follow && !options->verbose);
}
END_TEST

/* The default that the table shows is the value there is without it. */
START_TEST(test_default_text)
{
	struct options before = *options;
	char lines[64][128], *envp[65];

	ck_assert_uint_le(noption_rows, 64);
	for (unsigned i = 0; i < noption_rows; i++) {
		snprintf(lines[i], sizeof(lines[i]), "%s=%s",
			option_rows[i].name, option_rows[i].dflt);
		envp[i] = lines[i];
	}
	envp[noption_rows] = NULL;
	expect_silent(parse(false, envp));
	before.signal.given = true;
#define OPTION(name, type, field, initial, parser, arg, dflt, accepted, help)  \
	ck_assert_msg(!memcmp(&options->field, &before.field, sizeof(type)),   \
		"%s", #name);
#include "base/options.def"
#undef OPTION
}
END_TEST

START_TEST(test_all_set)
{
	expect_silent(PARSE("GOGC=50", "GOMEMLIMIT=512MiB", "GOSTAT_GC=reclaim",
		"GOSTAT_MAXHEAP=1GiB", "GOSTAT_SIGNAL=USR2:stats+heap,RTMIN+3",
		"GOSTAT_DUMP=/tmp/%e.%p.%n.%t%%", "GOSTAT_FORMAT=json",
		"GOSTAT_ATEXIT=stats+leaks", "GOSTAT_SOCKET=auto",
		"GOSTAT_PROFILE_RATE=1", "GOSTAT_STACK_DEPTH=8",
		"GOSTAT_LEAKCHECK=exit", "GOSTAT_LEAKCHECK_EXITCODE=0",
		"GOSTAT_SUPPRESSIONS=a%b", "GOSTAT_ROOTS=strict",
		"GOSTAT_UNALIGNED=1", "GOSTAT_POINTER_TAGS=8",
		"LSAN_OPTIONS=exitcode=5:max_leaks=3", "GOSTAT_TRACE=t.out",
		"GODEBUG=netdns=go,gctrace=1,scavtrace=2",
		"GOSTAT_OOM_DUMP=oom", "GOSTAT_WARN_HEAP=4096",
		"GOSTAT_HARDEN=1", "GOSTAT_FOLLOW=0", "GOSTAT_VERBOSE=1"));
	ck_assert_int_eq(options->gogc, 50);
	ck_assert(options->memlimit == 512 << 20);
	ck_assert_int_eq(options->gc, GC_RECLAIM);
	ck_assert_uint_eq(options->maxheap, 1 << 30);
	ck_assert_uint_eq(options->signal.n, 2);
	ck_assert_int_eq(options->signal.of[0].signo, SIGUSR2);
	ck_assert_uint_eq(
		options->signal.of[0].actions, ACTION_STATS | ACTION_HEAP);
	ck_assert_int_eq(options->signal.of[1].signo, SIGRTMIN + 3);
	ck_assert_uint_eq(options->signal.of[1].actions, ACTION_STATS);
	ck_assert(options->signal.given);
	ck_assert_str_eq(options->dump, "/tmp/%e.%p.%n.%t%%");
	ck_assert_int_eq(options->format, FORMAT_JSON);
	ck_assert_uint_eq(options->atexit, ACTION_STATS | ACTION_LEAKS);
	ck_assert_str_eq(options->socket, "auto");
	ck_assert_uint_eq(options->profile_rate, 1);
	ck_assert_uint_eq(options->stack_depth, 8);
	ck_assert_int_eq(options->leakcheck, LEAKCHECK_EXIT);
	ck_assert_uint_eq(options->leakcheck_exitcode, 0);
	ck_assert_str_eq(options->suppressions, "a%b");
	ck_assert_int_eq(options->roots, ROOTS_STRICT);
	ck_assert(options->unaligned);
	ck_assert_uint_eq(options->pointer_tags, 8);
	ck_assert_str_eq(options->lsan_options, "exitcode=5:max_leaks=3");
	ck_assert_str_eq(options->trace, "t.out");
	ck_assert_uint_eq(options->godebug.gctrace, 1);
	ck_assert_uint_eq(options->godebug.scavtrace, 2);
	ck_assert_uint_eq(options->godebug.inittrace, 0);
	ck_assert_str_eq(options->oom_dump, "oom");
	ck_assert_uint_eq(options->warn_heap, 4096);
	ck_assert(options->harden && !options->follow && options->verbose);
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		char *text;
		int64_t v;
	} sizes[] = {{"0", 0}, {"1B", 1}, {"3KiB", 3072}, {"2TiB", 2LL << 40},
		{"9223372036854775807", INT64_MAX},
		{"8796093022207MiB", 8796093022207LL << 20}, {"off", INT64_MAX},
		{"auto", MEMLIMIT_AUTO}};
	char buf[64];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		snprintf(buf, sizeof(buf), "GOMEMLIMIT=%s", sizes[i].text);
		expect_silent(PARSE(buf));
		ck_assert_msg(options->memlimit == sizes[i].v, "%s", buf);
	}
}
END_TEST

START_TEST(test_gogc)
{
	expect_silent(PARSE("GOSTAT_GC=reclaim"));
	ck_assert_int_eq(options->gogc, 100);
	expect_silent(PARSE("GOGC=off", "GOSTAT_GC=reclaim"));
	ck_assert_int_eq(options->gogc, GOGC_OFF);
	expect_silent(PARSE("GOGC=-7"));
	ck_assert_int_eq(options->gogc, GOGC_OFF);
	expect_silent(PARSE("GOGC=0"));
	ck_assert_int_eq(options->gogc, 0);
	expect_line(PARSE("GOGC=many", "GOSTAT_GC=reclaim"), "GOGC", "many",
		"percentage");
	ck_assert_int_eq(options->gogc, 100);
}
END_TEST

/* Each gives one line and leaves the default. */
START_TEST(test_bad_values)
{
	static char *const bad[] = {"GOGC=1.5", "GOGC=100%", "GOGC=2147483648",
		"GOGC=-", "GOMEMLIMIT=512M", "GOMEMLIMIT=1.5GiB",
		"GOMEMLIMIT=-1", "GOMEMLIMIT= 1", "GOMEMLIMIT=KiB",
		"GOMEMLIMIT=9223372036854775808", "GOMEMLIMIT=8388608TiB",
		"GOMEMLIMIT=18446744073709551616", "GOMEMLIMIT=1BB",
		"GOSTAT_GC=Report", "GOSTAT_GC=reports", "GOSTAT_MAXHEAP=auto",
		"GOSTAT_MAXHEAP=1GB", "GOSTAT_SIGNAL=FOO",
		"GOSTAT_SIGNAL=USR1:", "GOSTAT_SIGNAL=USR1:stat",
		"GOSTAT_SIGNAL=USR1:stats+", "GOSTAT_SIGNAL=:stats",
		"GOSTAT_SIGNAL=USR1,", "GOSTAT_SIGNAL=KILL",
		"GOSTAT_SIGNAL=USR1,none", "GOSTAT_SIGNAL=1,2,3,4,5,6,7,8,10",
		"GOSTAT_DUMP=%x", "GOSTAT_DUMP=a%", "GOSTAT_FORMAT=xml",
		"GOSTAT_ATEXIT=exit", "GOSTAT_ATEXIT=stats,gc",
		"GOSTAT_PROFILE_RATE=-1", "GOSTAT_PROFILE_RATE=512KiB",
		"GOSTAT_STACK_DEPTH=0", "GOSTAT_STACK_DEPTH=1025",
		"GOSTAT_LEAKCHECK=1", "GOSTAT_LEAKCHECK_EXITCODE=256",
		"GOSTAT_ROOTS=none", "GOSTAT_UNALIGNED=yes",
		"GOSTAT_POINTER_TAGS=17", "GODEBUG=gctrace=x",
		"GODEBUG=inittrace=1,gctrace=", "GODEBUG=gctrace=4294967296",
		"GOSTAT_WARN_HEAP=much", "GOSTAT_HARDEN=2",
		"GOSTAT_FOLLOW=", "GOSTAT_VERBOSE=11", "GOSTAT_VERBOSE=on"};
	struct options before = *options;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char name[64], *value = strchr(bad[i], '=') + 1;

		snprintf(name, sizeof(name),
			"%.*s=%s:", (int)(value - bad[i] - 1), bad[i], value);
		if (*value)
			expect_line(PARSE(bad[i]), name, "accepted: ", "");
		else
			expect_silent(PARSE(bad[i]));
		ck_assert_msg(!memcmp(&before, options, sizeof(before)), "%s",
			bad[i]);
	}
}
END_TEST

/* What a hostile or broken value looks like on stderr: still one line. */
START_TEST(test_line_is_one)
{
	static char long_value[5000] = "GOSTAT_FORMAT=";

	memset(long_value + 14, 'x', sizeof(long_value) - 15);
	expect_line(
		PARSE("GOSTAT_FORMAT=a\nb\033[31m"), "a?b?[31m", "json", "");
	expect_line(PARSE(long_value), "xxx...", "text", "prometheus");
	memcpy(long_value, "GOSTAT_DUMP=xx", 14);
	expect_line(PARSE(long_value), "GOSTAT_DUMP", "stderr", "%p");
}
END_TEST

START_TEST(test_unknown)
{
	expect_line(PARSE("GOSTAT_SINGAL=USR1"), "GOSTAT_SINGAL", "unknown",
		"GOSTAT_SIGNAL?");
	expect_line(PARSE("GOSTAT_=1"), "GOSTAT_:", "unknown", "GOSTAT_GC?");
	expect_line(PARSE("GOSTAT_A\tB"), "GOSTAT_A?B", "unknown", "?");
	ck_assert_str_eq(options_nearest("GOSTAT_LEAK"), "GOSTAT_LEAKCHECK");
	ck_assert_str_eq(options_nearest("GOSTAT_TREE"), "GOSTAT_TRACE");
	ck_assert_str_eq(
		options_nearest("GOSTAT_LEAKCHECKS"), "GOSTAT_LEAKCHECK");
	ck_assert_str_eq(options_nearest("GOMEMLIMT"), "GOMEMLIMIT");
	for (unsigned i = 0; i < noption_rows; i++)
		ck_assert_str_eq(options_nearest(option_rows[i].name),
			option_rows[i].name);
}
END_TEST

START_TEST(test_secure_and_null)
{
	struct options before = *options;

	expect_silent(parse(true,
		(char *[]){"GOSTAT_GC=off", "GOSTAT_X=1", "GOGC=bad", NULL}));
	expect_silent(parse(false, NULL));
	ck_assert(!memcmp(&before, options, sizeof(before)));
}
END_TEST

/* getenv's rule; and the environment may be overwritten afterwards. */
START_TEST(test_first_wins_and_copies)
{
	char first[] = "GOSTAT_DUMP=one", second[] = "GOSTAT_DUMP=two";

	expect_silent(PARSE(first, second, "GOSTAT_SIGNAL=none"));
	memset(first, 'z', sizeof(first) - 1);
	ck_assert_str_eq(options->dump, "one");
	ck_assert_uint_eq(options->signal.n, 0);
}
END_TEST

START_TEST(test_signals_merge)
{
	expect_silent(PARSE("GOSTAT_SIGNAL=USR1:heap,HUP:trace,10:gc"));
	ck_assert_uint_eq(options->signal.n, 2);
	ck_assert_uint_eq(
		options->signal.of[0].actions, ACTION_HEAP | ACTION_GC);
	ck_assert_str_eq(action_name(ACTION_TRACE), "trace");
	ck_assert_ptr_null(action_name(ACTION_TRACE | ACTION_GC));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("options");
	TCase *tc = tcase_create("options");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_default_text);
	tcase_add_test(tc, test_all_set);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_gogc);
	tcase_add_test(tc, test_bad_values);
	tcase_add_test(tc, test_line_is_one);
	tcase_add_test(tc, test_unknown);
	tcase_add_test(tc, test_secure_and_null);
	tcase_add_test(tc, test_first_wins_and_copies);
	tcase_add_test(tc, test_signals_merge);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
