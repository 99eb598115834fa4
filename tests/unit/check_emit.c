/* SPDX-License-Identifier: MIT */
#include "observe/emit.h"
#include "support/sample.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gostat_memstats m;
static const struct emit_env env = {
	.gogc = -1, .memlimit = INT64_MAX, .threads = 3, .gomaxprocs = 2};
static char out[1 << 17];

static void setup(void)
{
	sample_fill(&m);
}

static const char *text(void)
{
	struct fmt f;

	fmt_init(&f, out, sizeof(out), -1);
	emit_text(&f, &m);
	return fmt_cstr(&f);
}

static const char *prometheus(bool openmetrics)
{
	struct fmt f;

	fmt_init(&f, out, sizeof(out), -1);
	emit_prometheus(&f, &m, &env, openmetrics);
	return fmt_cstr(&f);
}

/* The rest of the line that starts with key, or NULL. Static buffer. */
static const char *line(const char *page, const char *key)
{
	static char buf[65536];
	size_t n = strlen(key);

	for (const char *p = page; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, n)) {
			size_t len = strcspn(p + n, "\n");

			memcpy(buf, p + n, len);
			buf[len] = '\0';
			return buf;
		}
		if (!*p)
			break;
	}
	return NULL;
}

static double metric(const char *page, const char *name)
{
	const char *s = line(page, name);
	char *end;
	double v;

	ck_assert_msg(s != NULL, "no %s", name);
	v = strtod(s, &end);
	ck_assert_msg(end > s && !*end, "%s%s", name, s);
	return v;
}

/* Go's encoding/json of the same numbers, byte for byte. */
START_TEST(test_json_is_go)
{
	static char want[1 << 17];
	FILE *file = fopen(GOLDEN_DIR "/memstats.json", "r");
	struct fmt f;
	size_t n;

	ck_assert_ptr_nonnull(file);
	n = fread(want, 1, sizeof(want) - 1, file);
	fclose(file);
	fmt_init(&f, out, sizeof(out), -1);
	emit_json(&f, &m);
	ck_assert_uint_gt(n, 9000);
	ck_assert_str_eq(fmt_cstr(&f), want);
}
END_TEST

START_TEST(test_text)
{
	static const char *const order[] = {"Alloc", "TotalAlloc", "Sys",
		"Lookups", "Mallocs", "Frees", "HeapAlloc", "HeapSys",
		"HeapIdle", "HeapInuse", "HeapReleased", "HeapObjects",
		"StackInuse", "StackSys", "MSpanInuse", "MSpanSys",
		"MCacheInuse", "MCacheSys", "BuckHashSys", "GCSys", "OtherSys",
		"NextGC", "LastGC", "PauseTotalNs", "PauseNs", "PauseEnd",
		"NumGC", "NumForcedGC", "GCCPUFraction", "EnableGC", "DebugGC",
		"BySize"};
	const char *p = text();
	char want[64];

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		snprintf(want, sizeof(want), "%s = ", order[i]);
		ck_assert_msg(!strncmp(p, want, strlen(want)),
			"not '%s': %.60s", want, p);
		p = strchr(p, '\n') + 1;
	}
	ck_assert(!*p);
	snprintf(want, sizeof(want), "%lu", m.HeapReleased);
	ck_assert_str_eq(line(out, "HeapReleased = "), want);
	snprintf(want, sizeof(want), "%u", m.NumForcedGC);
	ck_assert_str_eq(line(out, "NumForcedGC = "), want);
	ck_assert_double_eq(
		strtod(line(out, "GCCPUFraction = "), NULL), m.GCCPUFraction);
	ck_assert_str_eq(
		line(out, "EnableGC = "), m.EnableGC ? "true" : "false");
}
END_TEST

START_TEST(test_text_arrays)
{
	memset(&m, 0, sizeof(m));
	ck_assert_str_eq(line(text(), "PauseNs = "), "[]");
	ck_assert_str_eq(line(out, "BySize = "), "[]");
	m.NumGC = 258; /* the newest is [1], the oldest [2] */
	m.PauseNs[0] = 20;
	m.PauseNs[1] = 10;
	m.PauseNs[2] = 50;
	m.PauseNs[255] = 30;
	m.BySize[2] = (struct gostat_by_size){16, 9, 4};
	m.BySize[60] = (struct gostat_by_size){18432, 1, 0};
	ck_assert_str_eq(line(text(), "PauseNs = "), "[10 20 30 50]");
	ck_assert_str_eq(line(out, "BySize = "), "[{16 9 4} {18432 1 0}]");
}
END_TEST

START_TEST(test_prometheus_values)
{
	const char *page = prometheus(false);

#define SAME(name, value) ck_assert_double_eq(metric(page, name " "), (value))
	SAME("go_gc_gogc_percent", 18446744073709551615.0);
	SAME("go_gc_gomemlimit_bytes", 9223372036854775807.0);
	SAME("go_goroutines", 3);
	SAME("go_info{version=\"gostat" GOSTAT_VERSION "\"}", 1);
	SAME("go_memstats_alloc_bytes", (double)m.Alloc);
	SAME("go_memstats_alloc_bytes_total", (double)m.TotalAlloc);
	SAME("go_memstats_buck_hash_sys_bytes", (double)m.BuckHashSys);
	SAME("go_memstats_frees_total", (double)m.Frees);
	SAME("go_memstats_gc_cpu_fraction", m.GCCPUFraction);
	SAME("go_memstats_gc_sys_bytes", (double)m.GCSys);
	SAME("go_memstats_heap_alloc_bytes", (double)m.HeapAlloc);
	SAME("go_memstats_heap_idle_bytes", (double)m.HeapIdle);
	SAME("go_memstats_heap_inuse_bytes", (double)m.HeapInuse);
	SAME("go_memstats_heap_objects", (double)m.HeapObjects);
	SAME("go_memstats_heap_released_bytes", (double)m.HeapReleased);
	SAME("go_memstats_heap_sys_bytes", (double)m.HeapSys);
	SAME("go_memstats_last_gc_time_seconds", (double)m.LastGC / 1e9);
	SAME("go_memstats_lookups_total", (double)m.Lookups);
	SAME("go_memstats_mallocs_total", (double)m.Mallocs);
	SAME("go_memstats_mcache_inuse_bytes", (double)m.MCacheInuse);
	SAME("go_memstats_mcache_sys_bytes", (double)m.MCacheSys);
	SAME("go_memstats_mspan_inuse_bytes", (double)m.MSpanInuse);
	SAME("go_memstats_mspan_sys_bytes", (double)m.MSpanSys);
	SAME("go_memstats_next_gc_bytes", (double)m.NextGC);
	SAME("go_memstats_other_sys_bytes", (double)m.OtherSys);
	SAME("go_memstats_stack_inuse_bytes", (double)m.StackInuse);
	SAME("go_memstats_stack_sys_bytes", (double)m.StackSys);
	SAME("go_memstats_sys_bytes", (double)m.Sys);
	SAME("go_sched_gomaxprocs_threads", 2);
	SAME("go_threads", 3);
	SAME("go_gc_duration_seconds_sum", (double)m.PauseTotalNs / 1e9);
	SAME("go_gc_duration_seconds_count", m.NumGC);
#undef SAME
}
END_TEST

/* HELP, TYPE, samples; families in order, each once. */
static int check_page(const char *page, bool openmetrics)
{
	char help[64], type[64], kind[16], last[64] = "";
	int n, families = 0;

	for (; *page; families++) {
		size_t len;

		ck_assert_int_eq(
			sscanf(page, "# HELP %63s %*[^\n]\n%n", help, &n), 1);
		page += n;
		ck_assert_int_eq(
			sscanf(page, "# TYPE %63s %15s\n%n", type, kind, &n),
			2);
		page += n;
		ck_assert_str_eq(help, type);
		ck_assert_int_gt(strcmp(help, last), 0);
		strcpy(last, help);
		len = strlen(help);
		ck_assert_msg(!strncmp(page, help, len), "%.60s", page);
		if (!strcmp(kind, "counter"))
			ck_assert_msg(!strncmp(openmetrics ? page + len
							   : page + len - 6,
					      "_total ", 7),
				"%.60s", page);
		while (*page && *page != '#')
			page = strchr(page, '\n') + 1;
	}
	return families;
}

START_TEST(test_prometheus_page)
{
	ck_assert_int_eq(check_page(prometheus(false), false), 31);
	ck_assert_int_eq(check_page(prometheus(true), true), 31);
	ck_assert_ptr_nonnull(strstr(out, "# TYPE go_memstats_mallocs counter\n"
					  "go_memstats_mallocs_total "));
	ck_assert_ptr_nonnull(
		strstr(out, "# TYPE go_memstats_alloc_bytes_total unknown\n"));
}
END_TEST

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(test_quantiles)
{
	static const unsigned cycles[] = {
		0, 1, 2, 3, 4, 5, 100, 255, 256, 9999};
	static const char *const names[] = {"0", "0.25", "0.5", "0.75"};
	uint64_t sorted[256];
	char key[64];

	for (size_t c = 0; c < sizeof(cycles) / sizeof(*cycles); c++) {
		unsigned n = cycles[c] < 256 ? cycles[c] : 256;

		for (unsigned i = 0; i < 256; i++) {
			m.PauseNs[i] = i < n ? sample_next() % 50 : 0;
			sorted[i] = m.PauseNs[i];
		}
		qsort(sorted, n, sizeof(*sorted), ascending);
		m.NumGC = cycles[c];
		prometheus(false);
		for (unsigned q = 0; q < 4; q++) {
			snprintf(key, sizeof(key),
				"go_gc_duration_seconds{quantile=\"%s\"} ",
				names[q]);
			ck_assert_double_eq(metric(out, key),
				n ? (double)sorted[n * q / 4] / 1e9 : 0);
		}
		ck_assert_double_eq(
			metric(out, "go_gc_duration_seconds{quantile=\"1\"} "),
			n ? (double)sorted[n - 1] / 1e9 : 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("emit");
	TCase *tc = tcase_create("emit");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_json_is_go);
	tcase_add_test(tc, test_text);
	tcase_add_test(tc, test_text_arrays);
	tcase_add_test(tc, test_prometheus_values);
	tcase_add_test(tc, test_prometheus_page);
	tcase_add_test(tc, test_quantiles);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
