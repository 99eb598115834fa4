/* SPDX-License-Identifier: MIT */
#include "base/fmt.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char out[8192];

static const char *f64(double v)
{
	struct fmt f;

	fmt_init(&f, out, sizeof(out), -1);
	fmt_f64(&f, v);
	ck_assert(!f.truncated);
	return fmt_cstr(&f);
}

static const char *f64_json(double v)
{
	struct fmt f;

	fmt_init(&f, out, sizeof(out), -1);
	fmt_f64_json(&f, v);
	return fmt_cstr(&f);
}

/* Knuth's MMIX generator; the seed is fixed, so that failures repeat. */
static uint64_t next_random(void)
{
	static uint64_t x = 42;

	x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return x ^ x >> 29;
}

static double from_bits(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static unsigned count_digits(const char *s)
{
	unsigned n = 0, trailing = 0;
	bool leading = true;

	for (; *s && *s != 'e'; s++) {
		if (*s < '0' || *s > '9' || (leading && *s == '0'))
			continue;
		leading = false;
		n++;
		trailing = *s == '0' ? trailing + 1 : 0;
	}
	return n - trailing;
}

/* Reads back, and libc finds nothing shorter that does. */
static void check_double(double v)
{
	char libc[64];
	const char *mine = f64(v);
	unsigned n = count_digits(mine);

	ck_assert_msg(strtod(mine, NULL) == v, "%a: %s", v, mine);
	ck_assert_msg(strtod(f64_json(v), NULL) == v, "%a: %s", v, out);
	ck_assert_msg(n <= 17, "%a: %s", v, f64(v));
	if (n > 1) {
		snprintf(libc, sizeof(libc), "%.*e", (int)n - 2, v);
		ck_assert_msg(strtod(libc, NULL) != v, "%a: %s but %s", v,
			f64(v), libc);
	}
	/* If the correctly rounded digits do, they are the nearest: libc's. */
	snprintf(libc, sizeof(libc), "%.*e", (int)n - 1, v);
	if (strtod(libc, NULL) == v)
		ck_assert_msg(strtold(libc, NULL) == strtold(f64(v), NULL),
			"%a: %s but %s", v, f64(v), libc);
}

START_TEST(test_f64_random)
{
	for (int i = 0; i < 20000; i++) {
		double v = from_bits(next_random());

		if (isfinite(v) && v != 0)
			check_double(v);
		check_double((double)(next_random() >> (i % 64)) + 1);
		check_double((double)(next_random() >> 40 | 1) / 1e9);
	}
}
END_TEST

START_TEST(test_f64_edges)
{
	for (int e = -1074; e <= 1023; e++) {
		check_double(ldexp(1, e));
		check_double(nextafter(ldexp(1, e), INFINITY));
		check_double(nextafter(ldexp(1, e + 1), 0));
	}
	for (int e = -323; e <= 308; e++) {
		char text[16];

		snprintf(text, sizeof(text), "1e%d", e);
		check_double(strtod(text, NULL));
		ck_assert_uint_eq(count_digits(f64(strtod(text, NULL))), 1);
	}
	check_double(DBL_MAX);
	check_double(DBL_MIN);
	check_double(-DBL_TRUE_MIN);
}
END_TEST

START_TEST(test_f64_spelling)
{
	static const struct {
		double v;
		const char *g, *json;
	} rows[] = {{0, "0", "0"}, {-0.0, "-0", "-0"}, {1, "1", "1"},
		{-1.5, "-1.5", "-1.5"}, {100000, "100000", "100000"},
		{1e6, "1e+06", "1000000"}, {123456, "123456", "123456"},
		{12762128, "1.2762128e+07", "12762128"},
		{1e20, "1e+20", "100000000000000000000"},
		{1e21, "1e+21", "1e+21"}, {0.0001, "0.0001", "0.0001"},
		{0.00001, "1e-05", "0.00001"}, {1e-6, "1e-06", "0.000001"},
		{1e-7, "1e-07", "1e-7"}, {1.25e-10, "1.25e-10", "1.25e-10"},
		{1.5e300, "1.5e+300", "1.5e+300"},
		{0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
		{18446744073709551615.0, "1.8446744073709552e+19",
			"18446744073709552000"},
		{9223372036854775807.0, "9.223372036854776e+18",
			"9223372036854776000"},
		{5e-324, "5e-324", "5e-324"},
		{DBL_MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"},
		{2.2250738585072014e-308, "2.2250738585072014e-308",
			"2.2250738585072014e-308"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_str_eq(f64(rows[i].v), rows[i].g);
		ck_assert_str_eq(f64_json(rows[i].v), rows[i].json);
	}
	ck_assert_str_eq(f64(INFINITY), "+Inf");
	ck_assert_str_eq(f64(-INFINITY), "-Inf");
	ck_assert_str_eq(f64(NAN), "NaN");
}
END_TEST

/* golden/floats.txt: bits, 'g' and encoding/json as a Go program spells them */
START_TEST(test_f64_golden)
{
	FILE *file = fopen(GOLDEN_DIR "/floats.txt", "r");
	char g[64], json[64];
	unsigned long bits;
	int n = 0;

	ck_assert_ptr_nonnull(file);
	for (; fscanf(file, "%lx %63s %63s", &bits, g, json) == 3; n++) {
		ck_assert_str_eq(f64(from_bits(bits)), g);
		ck_assert_str_eq(f64_json(from_bits(bits)), json);
	}
	fclose(file);
	ck_assert_int_gt(n, 300);
}
END_TEST

START_TEST(test_integers)
{
	char want[64];
	struct fmt f;

	for (int i = 0; i < 5000; i++) {
		uint64_t v = next_random() >> (i % 64);

		fmt_init(&f, out, sizeof(out), -1);
		fmt_u64(&f, v);
		fmt_char(&f, ' ');
		fmt_i64(&f, (int64_t)v);
		fmt_char(&f, ' ');
		fmt_hex(&f, v);
		snprintf(want, sizeof(want), "%lu %ld %lx", v, (long)v, v);
		ck_assert_str_eq(fmt_cstr(&f), want);
	}
}
END_TEST

START_TEST(test_utc)
{
	char want[64];
	struct fmt f;

	for (int i = 0; i < 20000; i++) {
		time_t t = (time_t)(next_random() % 8000000000);
		struct tm tm;

		if (i < 400) /* around every new year */
			t = (time_t)(i / 2) * 31556952 - i % 2;
		t = t < 0 ? 0 : t;
		fmt_init(&f, out, sizeof(out), -1);
		fmt_utc(&f, t);
		strftime(want, sizeof(want), "%FT%TZ", gmtime_r(&t, &tm));
		ck_assert_str_eq(fmt_cstr(&f), want);
	}
}
END_TEST

#define SAME(...)                                                              \
	do {                                                                   \
		char want_[256];                                               \
		struct fmt f_;                                                 \
                                                                               \
		fmt_init(&f_, out, sizeof(out), -1);                           \
		fmt_printf(&f_, __VA_ARGS__);                                  \
		snprintf(want_, sizeof(want_), __VA_ARGS__);                   \
		ck_assert_str_eq(fmt_cstr(&f_), want_);                        \
	} while (0)

START_TEST(test_printf)
{
	SAME("plain");
	SAME("%d %i %u %x|%5d|%-5d|%05d|%*d|", -3, 4, 5u, 0xabcu, 42, 42, -42,
		6, 7);
	SAME("%ld %lu %lx %zu %lld", -1L, ~0UL, ~0UL, (size_t)9, 1LL << 60);
	SAME("%s|%8s|%-8s|%.2s|%.*s|%c%%", "abc", "abc", "abc", "abc", 1, "abc",
		'x');
	SAME("%p", (void *)&out);
	SAME("%d %d", -2147483647 - 1, 2147483647);
}
END_TEST

START_TEST(test_truncation)
{
	char buf[8] = "";
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	fmt_str(&f, "12345678");
	ck_assert(!f.truncated);
	fmt_char(&f, '9');
	ck_assert(f.truncated);
	ck_assert_str_eq(fmt_cstr(&f), "1234567");
}
END_TEST

/* Through a small buffer to a pipe everything arrives, once and in order. */
START_TEST(test_descriptor)
{
	char buf[7], back[1024] = "", want[1024] = "";
	struct fmt f;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	fmt_init(&f, buf, sizeof(buf), fd[1]);
	for (int i = 0; i < 100; i++) {
		fmt_printf(&f, "%d,", i);
		sprintf(want + strlen(want), "%d,", i);
	}
	ck_assert_int_eq(fmt_flush(&f), 0);
	ck_assert_uint_eq(f.total, strlen(want));
	ck_assert_int_eq(read(fd[0], back, sizeof(back)), (int)strlen(want));
	ck_assert_str_eq(back, want);
}
END_TEST

START_TEST(test_write_error)
{
	char buf[4];
	struct fmt f;
	int fd = open("/dev/full", O_WRONLY);

	ck_assert_int_ge(fd, 0);
	errno = 77;
	fmt_init(&f, buf, sizeof(buf), fd);
	fmt_str(&f, "does not fit");
	ck_assert_int_eq(fmt_flush(&f), ENOSPC);
	ck_assert_uint_eq(f.total, 0);
	ck_assert_int_eq(errno, 77);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fmt");
	TCase *tc = tcase_create("fmt");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, test_f64_random);
	tcase_add_test(tc, test_f64_edges);
	tcase_add_test(tc, test_f64_spelling);
	tcase_add_test(tc, test_f64_golden);
	tcase_add_test(tc, test_integers);
	tcase_add_test(tc, test_utc);
	tcase_add_test(tc, test_printf);
	tcase_add_test(tc, test_truncation);
	tcase_add_test(tc, test_descriptor);
	tcase_add_test(tc, test_write_error);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
