/* SPDX-License-Identifier: MIT */
/*
 * The metrics page against the numbers that went in, and process_ families
 * against /proc read with stdio.
 */
#include "observe/metrics.h"
#include "support/sample.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct emit_env env = {
	.gogc = 100, .memlimit = INT64_MAX, .threads = 3, .gomaxprocs = 2};
static struct gostat_memstats m;
static struct metrics s;
static char out[1 << 17];

static const char *page(bool openmetrics)
{
	struct fmt f;

	fmt_init(&f, out, sizeof(out), -1);
	metrics_page(&f, &m, &env, &s, openmetrics);
	ck_assert(!f.truncated);
	return fmt_cstr(&f);
}

/* The value behind "name " at the start of a line; fails if not there. */
static double metric(const char *name)
{
	char key[200];
	const char *p;

	snprintf(key, sizeof(key), "\n%s ", name);
	p = strstr(out, key);
	ck_assert_msg(p != NULL, "%s is missing", name);
	ck_assert_msg(!strstr(p + 1, key), "%s is there twice", name);
	return strtod(p + strlen(key), NULL);
}

static void setup(void)
{
	sample_fill(&m);
	s = (struct metrics){.leaked_objects = 1, .leaked_bytes = 2,
		.snapshots_aborted = 3, .scavenged_bytes = 4,
		.profile_samples = 5, .dump_errors = 6, .trace_dropped = 7,
		.pause_total_ns = 1500000000, .nclasses = 2};
	for (unsigned i = 0; i <= METRICS_NPAUSE; i++)
		s.pauses[i] = 1u << i;
	s.cycles[METRICS_HEAP][METRICS_COMPLETED] = 8;
	s.cycles[METRICS_FORCED][METRICS_ABORTED] = 9;
	s.class[0] = (struct metrics_class){.size = 16, .allocs = 10,
		.frees = 4, .live_bytes = 96, .inuse_bytes = 8192};
	s.class[1] = (struct metrics_class){.size = 0, .allocs = 2,
		.frees = 1, .live_bytes = 40000, .inuse_bytes = 40000};
}

START_TEST(numbers)
{
	page(false);
	ck_assert(metric("gostat_leaked_objects") == 1);
	ck_assert(metric("gostat_leaked_bytes") == 2);
	ck_assert(metric("gostat_snapshots_aborted_total") == 3);
	ck_assert(metric("gostat_scavenged_bytes_total") == 4);
	ck_assert(metric("gostat_profile_samples_total") == 5);
	ck_assert(metric("gostat_dump_errors_total") == 6);
	ck_assert(metric("gostat_trace_dropped_total") == 7);
	ck_assert(metric("gostat_cycles_total{outcome=\"completed\",reason="
			 "\"heap\"}") == 8);
	ck_assert(metric("gostat_cycles_total{outcome=\"aborted\",reason="
			 "\"forced\"}") == 9);
	ck_assert(metric("gostat_cycles_total{outcome=\"refused\",reason="
			 "\"limit\"}") == 0);
	ck_assert(metric("gostat_pause_seconds_bucket{le=\"1e-05\"}") == 1);
	ck_assert(metric("gostat_pause_seconds_bucket{le=\"0.001\"}") == 127);
	ck_assert(metric("gostat_pause_seconds_bucket{le=\"+Inf\"}") == 8191);
	ck_assert(metric("gostat_pause_seconds_count") == 8191);
	ck_assert(metric("gostat_pause_seconds_sum") == 1.5);
	ck_assert(metric("gostat_sizeclass_allocs_total{size=\"16\"}") == 10);
	ck_assert(metric("gostat_sizeclass_frees_total{size=\"16\"}") == 4);
	ck_assert(metric("gostat_sizeclass_live_objects{size=\"16\"}") == 6);
	ck_assert(metric("gostat_sizeclass_waste_bytes{size=\"16\"}") == 8096);
	ck_assert(
		metric("gostat_sizeclass_waste_bytes{size=\"large\"}") == 0);
	ck_assert(metric("go_memstats_sys_bytes") == (double)m.Sys);
}
END_TEST

START_TEST(pause_buckets)
{
	ck_assert_uint_eq(metrics_pause_bucket(0), 0);
	ck_assert_uint_eq(metrics_pause_bucket(10000), 0);
	ck_assert_uint_eq(metrics_pause_bucket(10001), 1);
	ck_assert_uint_eq(metrics_pause_bucket(1000000000), METRICS_NPAUSE - 1);
	ck_assert_uint_eq(metrics_pause_bucket(1000000001), METRICS_NPAUSE);
	ck_assert_uint_eq(metrics_pause_bucket(UINT64_MAX), METRICS_NPAUSE);
	for (unsigned i = 1; i < METRICS_NPAUSE; i++)
		ck_assert_uint_lt(metrics_pause_bounds[i - 1],
			metrics_pause_bounds[i]);
}
END_TEST

/* Families in order, each with one HELP and one TYPE and samples of its own. */
START_TEST(shape)
{
	char family[200] = "", type[20], last[200] = "", text[1 << 17];
	unsigned families = 0;

	strcpy(text, page(_i));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strcmp(line, "# EOF")) {
			ck_assert(_i && !strtok(NULL, "\n"));
			break;
		}
		if (!strncmp(line, "# HELP ", 7)) {
			ck_assert_int_eq(sscanf(line, "# HELP %199s", family),
				1);
			ck_assert_msg(strcmp(last, family) < 0, "%s after %s",
				family, last);
			strcpy(last, family);
			ck_assert_int_eq(line[strlen(line) - 1], '.');
			line = strtok(NULL, "\n");
			ck_assert_int_eq(
				sscanf(line, "# TYPE %199s %19s", last, type),
				2);
			ck_assert_str_eq(last, family);
			families++;
			continue;
		}
		ck_assert_int_ne(line[0], '#');
		ck_assert(!strncmp(line, family, strlen(family)));
		if (!_i && !strcmp(type, "counter"))
			ck_assert(strstr(family, "_total"));
		if (_i && !strcmp(type, "counter"))
			ck_assert(!strncmp(line + strlen(family), "_total", 6));
	}
	ck_assert_uint_gt(families, 50);
}
END_TEST

static long field_of_stat(int n)
{
	char buf[4096], *p;
	FILE *f = fopen("/proc/self/stat", "r");

	buf[fread(buf, 1, sizeof(buf) - 1, f)] = '\0';
	fclose(f);
	p = strrchr(buf, ')');
	while (n-- > 2)
		p = strchr(p + 1, ' ');
	return strtol(p, NULL, 10);
}

static double boot_time(void)
{
	char line[8192];
	double t = 0;
	FILE *f = fopen("/proc/stat", "r");

	while (fgets(line, sizeof(line), f))
		sscanf(line, "btime %lf", &t);
	fclose(f);
	return t;
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -1; /* opendir's own */

	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

START_TEST(process)
{
	struct rlimit r = {1000, 2000};
	char first[1 << 16];
	double t;

	setrlimit(RLIMIT_NOFILE, &r);
	page(false);
	t = (double)field_of_stat(22) / 100 + boot_time();
	/* btime is in whole seconds. */
	ck_assert_double_eq_tol(metric("process_start_time_seconds"), t, 1.1);
	ck_assert_double_eq_tol(metric("process_cpu_seconds_total"),
		(double)(field_of_stat(14) + field_of_stat(15)) / 100, 0.5);
	ck_assert_double_eq_tol(metric("process_virtual_memory_bytes"),
		(double)field_of_stat(23), 1e6);
	ck_assert_double_eq_tol(metric("process_resident_memory_bytes"),
		(double)field_of_stat(24) * 4096, 1e6);
	ck_assert(metric("process_open_fds") == open_fds());
	ck_assert(metric("process_max_fds") == 1000);
	ck_assert(metric("process_virtual_memory_max_bytes") == 0x1p64);
	ck_assert(metric("process_network_receive_bytes_total") >= 0);

	/* The start does not move from scrape to scrape. */
	t = metric("process_start_time_seconds");
	strcpy(first, strstr(out, "process_start_time_seconds "));
	usleep(20000);
	page(false);
	ck_assert(metric("process_start_time_seconds") == t);
	/* A descriptor more is seen. */
	ck_assert_int_ge(dup(0), 0);
	page(false);
	ck_assert(metric("process_open_fds") == open_fds());
}
END_TEST

START_TEST(heap)
{
	uint64_t live = 0;

	metrics_read_heap(&s);
	ck_assert_uint_gt(s.nclasses, 60);
	for (unsigned i = 0; i < s.nclasses; i++) {
		const struct metrics_class *c = &s.class[i];

		ck_assert_uint_ge(c->allocs, c->frees);
		ck_assert_uint_ge(c->inuse_bytes, c->live_bytes);
		if (c->size)
			ck_assert_uint_eq(c->live_bytes,
				(c->allocs - c->frees) * c->size);
		live += c->live_bytes;
	}
	ck_assert_uint_eq(s.class[s.nclasses - 1].size, 0);
	page(true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *t = tcase_create("metrics");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, numbers);
	tcase_add_test(t, pause_buckets);
	tcase_add_loop_test(t, shape, 0, 2);
	tcase_add_test(t, process);
	tcase_add_test(t, heap);
	suite_add_tcase(suite, t);
	r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
