/* SPDX-License-Identifier: MIT */
/* What counts and what is said of a list of leaks: rules, reports. */
#include "alloc/heap.h"
#include "gc/leakname.h"
#include "gc/leakreport.h"
#include "gc/suppress.h"
#include "os/sysmem.h"
#include "support/leakstacks.h"
#include "support/run.h"

#include <stdio.h>
#include <string.h>

enum { LIST = 1 << 20, BAD = 7 };

/* Stack id s: frames 100 * s + 2, + 1. */
static size_t fake_frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	if (max > 0)
		pc[0] = 100 * stack + 2;
	if (max > 1)
		pc[1] = 100 * stack + 1;
	return 2;
}

static void fake_describe(uint32_t stack, struct leak_frame *f)
{
	static char names[64][3][32]; /* names stay */
	static const uint8_t id[3] = {0xab, 0, 0x1f};
	char *name = names[stack % 64][f->pc % 3];

	snprintf(name, sizeof(names[0][0]), "f%u_%lu", stack, f->pc % 100);
	f->function = stack == 3 && f->pc % 100 == 1 ? NULL : name;
	f->module = stack % 2 ? "/lib/libodd.so.1" : "/bin/even \"x\"";
	f->build_id = id;
	f->build_id_len = 3;
	f->offset = f->pc - 1;
}

static void record(void)
{
	leak_names.frames = fake_frames;
	leak_names.describe = fake_describe;
	record_stacks();
}

START_TEST(test_patterns)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} rows[] = {
		{"abc", "abc", true},
		{"abc", "xxabcxx", true},
		{"abc", "ab", false},
		{"^abc", "abcd", true},
		{"^abc", "xabc", false},
		{"abc$", "xabc", true},
		{"abc$", "abcabcd", false},
		{"abc$", "abcdabc", true},
		{"^abc$", "abc", true},
		{"^abc$", "abcd", false},
		{"a*c", "xaxxxcx", true},
		{"a*c$", "abcbd", false},
		{"^a*b*c$", "axbxbxc", true},
		{"^a*b*c$", "axcxbx", false},
		{"*", "x", true},
		{"*abc*", "abc", true},
		{"a$b", "xa$by", true},
		{"", "x", true},
		{"abc", "", false},
		{"abc", NULL, false},
	};

	for (size_t i = 0; i < NELEM(rows); i++)
		ck_assert_msg(suppress_matches(rows[i].pattern, rows[i].name) ==
				      rows[i].match,
			"%s on %s", rows[i].pattern, rows[i].name);
}
END_TEST

START_TEST(test_rules)
{
	static const char text[] = "# comment\n\n  leak:f1_1 \r\n"
				   "race:other tool\nleak:^/bin/even\nleak:zz";
	struct suppress_memo memo = {0};

	record();
	suppress_add_text(text, sizeof(text) - 1, "test");
	ck_assert_uint_eq(suppress_count(), 3);
	ck_assert_str_eq(suppress_at(0)->pattern, "f1_1");
	ck_assert_str_eq(suppress_at(1)->pattern, "^/bin/even");
	ck_assert_str_eq(suppress_at(2)->pattern, "zz");
	for (uint32_t s = 1; s < 5000; s++) {
		bool want = s % 2 == 0 || s == 1; /* f1_1 is of stack 1 only */

		ck_assert((suppress_find(s) != NULL) == want);
		ck_assert(suppress_asked(&memo, s) == want);
		ck_assert(suppress_asked(&memo, s) == want);
	}
	ck_assert(!suppress_asked(&memo, 0));
	suppress_forget(&memo);
	/* Many more: the text moves while it grows. */
	for (int i = 0; i < 3000; i++)
		suppress_add_text("leak:some_long_function_name", 28, "test");
	ck_assert_uint_eq(suppress_count(), 3003);
	ck_assert_str_eq(suppress_at(1)->pattern, "^/bin/even");
	ck_assert_str_eq(suppress_at(3002)->pattern, "some_long_function_name");
	ck_assert(!suppress_add_file("/nonexistent/file"));
}
END_TEST

static const char expected[] =
	"\n"
	"=================================================================\n"
	"==42==ERROR: gostat: detected memory leaks\n"
	"\n"
	"Direct leak of 61 byte(s) in 2 object(s) allocated from:\n"
	"    #0 0x65 in f1_2 (/lib/libodd.so.1+0x65)\n"
	"    #1 0x64 in f1_1 (/lib/libodd.so.1+0x64)\n"
	"\n"
	"Direct leak of 8 byte(s) in 1 object(s) allocated from:\n"
	"    #0 0x12d in f3_2 (/lib/libodd.so.1+0x12d)\n"
	"    #1 0x12c (/lib/libodd.so.1+0x12c)\n"
	"\n"
	"Indirect leak of 100 byte(s) in 1 object(s) allocated from:\n"
	"    #0 0xc9 in f2_2 (/bin/even \"x\"+0xc9)\n"
	"    #1 0xc8 in f2_1 (/bin/even \"x\"+0xc8)\n"
	"\n"
	"-----------------------------------------------------\n"
	"Suppressions used:\n"
	"  count      bytes template\n"
	"      1         50 f7_\n"
	"-----------------------------------------------------\n"
	"\n"
	"SUMMARY: gostat: 169 byte(s) leaked in 4 allocation(s).\n";

static const char expected_json[] =
	"{\"version\":1,\"pid\":42,\"exe\":\"/bin/app\",\"status\":\"leaks\","
	"\"reason\":\"\",\"leaks\":["
	"{\"kind\":\"direct\",\"objects\":2,\"bytes\":61,"
	"\"fingerprint\":\"%s\",\"stack\":["
	"{\"function\":\"f1_2\",\"address\":101,\"module\":"
	"\"/lib/libodd.so.1\",\"build_id\":\"ab001f\",\"offset\":101,"
	"\"inlined\":false},"
	"{\"function\":\"f1_1\",\"address\":100,\"module\":"
	"\"/lib/libodd.so.1\",\"build_id\":\"ab001f\",\"offset\":100,"
	"\"inlined\":false}]},"
	"{\"kind\":\"direct\",\"objects\":1,\"bytes\":8,"
	"\"fingerprint\":\"%s\",\"stack\":["
	"{\"function\":\"f3_2\",\"address\":301,\"module\":"
	"\"/lib/libodd.so.1\",\"build_id\":\"ab001f\",\"offset\":301,"
	"\"inlined\":false},"
	"{\"address\":300,\"module\":"
	"\"/lib/libodd.so.1\",\"build_id\":\"ab001f\",\"offset\":300,"
	"\"inlined\":false}]},"
	"{\"kind\":\"indirect\",\"objects\":1,\"bytes\":100,"
	"\"fingerprint\":\"%s\",\"stack\":["
	"{\"function\":\"f2_2\",\"address\":201,\"module\":"
	"\"/bin/even \\\"x\\\"\",\"build_id\":\"ab001f\",\"offset\":201,"
	"\"inlined\":false},"
	"{\"function\":\"f2_1\",\"address\":200,\"module\":"
	"\"/bin/even \\\"x\\\"\",\"build_id\":\"ab001f\",\"offset\":200,"
	"\"inlined\":false}]}],"
	"\"suppressed\":{\"objects\":1,\"bytes\":50},"
	"\"unused_suppressions\":[\"leak:un\\\"used\"],"
	"\"live\":{\"objects\":0,\"bytes\":0},\"heap\":{\"Alloc\":1}}\n";

static void heap_json(struct fmt *f)
{
	fmt_str(f, "{\"Alloc\":1}");
}

static bool rule_hits(void *arg, uint32_t stack)
{
	(void)arg;
	return suppress_find(stack) != NULL;
}

static void *leak(uint32_t stack, size_t size)
{
	next_stack = stack;
	return memset(heap_malloc(size), 0, size);
}

/* Frames once each, in the order in which stacks name them. */
static const char expected_brief[] =
	"\"leaks\":["
	"{\"kind\":\"direct\",\"objects\":2,\"bytes\":61,"
	"\"frames\":\"0 1\"},"
	"{\"kind\":\"direct\",\"objects\":1,\"bytes\":8,"
	"\"frames\":\"2 3\"},"
	"{\"kind\":\"indirect\",\"objects\":1,\"bytes\":100,"
	"\"frames\":\"4 5\"}],\"frames\":["
	"{\"function\":\"f1_2\",\"address\":101,\"module\":"
	"\"/lib/libodd.so.1\",\"build_id\":\"ab001f\",\"offset\":101,"
	"\"inlined\":false},";

START_TEST(test_reports)
{
	static const char rules[] = "leak:f7_\nleak:un\"used\n";
	struct leakreport_options ro = {.tool = "gostat",
		.pid = 42,
		.exe = "/bin/app",
		.print_suppressions = true,
		.heap = heap_json};
	struct mark_options mo = {.nworkers = 1};
	struct leaklist l = {.p = sysmem_map(NULL, LIST, SYS_GC),
		.cap = LIST};
	struct leak_sets sets = {0};
	struct leaks leaks = {0};
	char id[3][LEAK_FINGERPRINT], buf[8192], want[8192];
	struct heapview v;
	struct marker m;
	struct fmt f;
	void **p;

	record();
	suppress_add_text(rules, sizeof(rules) - 1, "test");
	p = leak(1, 60);
	leak(1, 1);
	p[0] = leak(2, 100);
	leak(3, 8);
	leak(BAD, 50);
	p = NULL;
	ck_assert(heapview_init(&v, NULL));
	ck_assert(marker_init(&m, &v, &mo));
	ck_assert(leak_classify(&m, &sets, rule_hits, NULL));
	leaklist_write(&l, &v, &sets);
	ck_assert(leaklist_open(&l));
	ck_assert(leaks_count(&leaks, &l));

	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_text(&f, &leaks, &ro);
	ck_assert_str_eq(fmt_cstr(&f), expected);

	for (uint32_t i = 0; i < 3; i++)
		leak_fingerprint(i == 0 ? 1 : i == 1 ? 3 : 2, id[i]);
	ck_assert_str_ne(id[0], id[1]);
	snprintf(want, sizeof(want), expected_json, id[0], id[1], id[2]);
	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_json(&f, &leaks, &ro);
	ck_assert_str_eq(fmt_cstr(&f), want);

	ro.brief = true;
	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_json(&f, &leaks, &ro);
	ck_assert_ptr_nonnull(strstr(fmt_cstr(&f), expected_brief));

	ro.max_leaks = 1;
	ro.report_objects = true;
	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_text(&f, &leaks, &ro);
	ck_assert_ptr_nonnull(
		strstr(fmt_cstr(&f), "Objects leaked above:\n0x"));
	ck_assert_ptr_nonnull(strstr(buf, "(60 bytes)\n"));
	ck_assert_ptr_null(strstr(buf, "Indirect"));
	leaks_free(&leaks);

	leaks.unchecked = "no /proc";
	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_json(&f, &leaks, &ro);
	ck_assert_ptr_nonnull(strstr(fmt_cstr(&f),
		"\"status\":\"unchecked\",\"reason\":\"no /proc\""));
	fmt_init(&f, buf, sizeof(buf), -1);
	leakreport_text(&f, &leaks, &ro);
	ck_assert_str_eq(fmt_cstr(&f),
		"==42==ERROR: gostat: leaks were not checked: no /proc\n");
}
END_TEST

/* What others may rely on: the algorithm of fingerprints. */
START_TEST(test_fingerprint)
{
	char id[LEAK_FINGERPRINT];
	static const char bytes[] = "libodd.so.1\0f3_2\0libodd.so.1\0";
	uint64_t h = 14695981039346656037u;
	char want[17];

	record();
	for (size_t i = 0; i < sizeof(bytes); i++) /* with the last NUL */
		h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
	snprintf(want, sizeof(want), "%016lx", h);
	leak_fingerprint(3, id);
	ck_assert_str_eq(id, want);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("leakreport");
	TCase *t = new_case(s, "leakreport");

	tcase_add_test(t, test_patterns);
	tcase_add_test(t, test_rules);
	tcase_add_test(t, test_reports);
	tcase_add_test(t, test_fingerprint);
	return run_suite(s);
}
