/* SPDX-License-Identifier: MIT */
/*
 * Classes of leaked objects against a naive model (reachability by closure),
 * the list that a snapshot hands over, groups, rules, and both reports.
 */
#include "alloc/heap.h"
#include "alloc/objinfo.h"
#include "alloc/tick.h"
#include "gc/leakname.h"
#include "gc/leakreport.h"
#include "gc/suppress.h"
#include "os/sysmem.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES = 160, OUT = 1 << 16, BAD = 7, NSTACKS = 9 };

static uintptr_t root[4];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + 4), ROOT_GLOBALS, 0, 0};
static struct rootset roots = {.ranges = {&range, 1, 1}};

static void **node[NODES];
static uint32_t stack_of_node[NODES];
static bool reach[NODES][NODES]; /* [a][b]: a leads to b, or a == b */
static bool live[NODES], hidden[NODES];
static uint64_t rng;
static uint32_t next_stack;

static size_t below(size_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (size_t)(rng >> 16) % n;
}

static uint32_t give_stack(struct mcache *mc, const struct unwind_regs *r,
	size_t slot, unsigned shift)
{
	(void)mc;
	(void)r;
	(void)slot;
	(void)shift;
	return next_stack;
}

static void take_stack(uint32_t stack, size_t slot, unsigned shift)
{
	(void)stack;
	(void)slot;
	(void)shift;
}

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
	objinfo_hooks.alloc = give_stack;
	objinfo_hooks.free = take_stack;
	leak_names.frames = fake_frames;
	leak_names.describe = fake_describe;
	objinfo_record_all();
	tick_set_sample_rate(1);
}

static void make_graph(unsigned edges)
{
	static const size_t sizes[] = {8, 16, 40, 120, 1000, 5000, 100000};

	memset(reach, 0, sizeof(reach));
	memset(live, 0, sizeof(live));
	memset(root, 0, sizeof(root));
	for (size_t i = 0; i < NODES; i++) {
		size_t size = sizes[below(edges > 2 ? 5 : 7)];

		next_stack = stack_of_node[i] = 1 + (uint32_t)below(NSTACKS);
		node[i] = heap_malloc(size);
		memset(node[i], 0, heap_usable_size(node[i]));
		reach[i][i] = true;
	}
	for (size_t k = 0; k < edges * NODES / 2; k++) {
		size_t a = below(NODES), b = below(NODES);
		size_t words = (heap_usable_size(node[a]) - 1) / 8;
		size_t at = below(words ? words : 1);

		if (node[a][at])
			continue;
		node[a][at] = (char *)node[b] + (below(4) ? 0 : 3);
		reach[a][b] = true;
	}
	for (size_t k = 0; k < NODES; k++)
		for (size_t a = 0; a < NODES; a++)
			for (size_t b = 0; reach[a][k] && b < NODES; b++)
				reach[a][b] |= reach[k][b];
	for (size_t i = 0; i < below(3); i++) {
		size_t a = below(NODES);

		root[i] = (uintptr_t)node[a];
		for (size_t b = 0; b < NODES; b++)
			live[b] |= reach[a][b];
	}
}

static void free_graph(void)
{
	for (size_t i = 0; i < NODES; i++)
		heap_free(node[i]);
}

static bool is_bad(void *arg, uint32_t stack)
{
	return arg && stack == BAD;
}

/* Suppressed by the model: with the stack, or behind one with it. */
static void model_suppress(bool rules)
{
	for (size_t b = 0; b < NODES; b++) {
		hidden[b] = false;
		for (size_t a = 0; rules && a < NODES; a++)
			hidden[b] |= !live[a] && stack_of_node[a] == BAD &&
				     reach[a][b];
		hidden[b] &= !live[b];
	}
}

static bool leaked(size_t i)
{
	return !live[i] && !hidden[i];
}

/* No leaked node outside i's component leads to i. */
static bool at_top(size_t i)
{
	for (size_t a = 0; a < NODES; a++)
		if (leaked(a) && reach[a][i] && !reach[i][a])
			return false;
	return true;
}

struct verdict {
	bool seen[NODES];
	enum leak_kind kind[NODES];
	size_t objects;
};

static void see(void *arg, const struct leak_object *o)
{
	struct verdict *v = arg;

	for (size_t i = 0; i < NODES; i++) {
		if ((uintptr_t)node[i] != o->p)
			continue;
		ck_assert(!v->seen[i]);
		ck_assert_uint_eq(o->stack, stack_of_node[i]);
		v->seen[i] = true;
		v->kind[i] = o->kind;
	}
	v->objects++;
}

static void compare(const struct verdict *v)
{
	size_t objects = 0;

	for (size_t i = 0; i < NODES; i++) {
		unsigned directs = 0;

		ck_assert(v->seen[i] == !live[i]);
		objects += !live[i];
		if (live[i])
			continue;
		ck_assert((v->kind[i] == LEAK_SUPPRESSED) == hidden[i]);
		if (hidden[i])
			continue;
		if (v->kind[i] == LEAK_DIRECT)
			ck_assert(at_top(i));
		if (!at_top(i))
			continue;
		for (size_t b = 0; b < NODES; b++)
			directs += reach[i][b] && reach[b][i] &&
				   v->kind[b] == LEAK_DIRECT && leaked(b);
		ck_assert_uint_eq(directs, 1);
	}
	ck_assert_uint_eq(v->objects, objects);
}

/* Mark, classify, write the list into l->p. */
static void find_leaks(struct leaklist *l, bool rules)
{
	struct mark_options o = {.nworkers = 1};
	struct leak_sets sets = {0};
	struct heapview v;
	struct marker m;

	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	leak_ignore(&m, NULL, 0);
	ck_assert(leak_classify(&m, &sets, is_bad, rules ? l : NULL));
	ck_assert_uint_le(leaklist_bound(), OUT * 64);
	leaklist_write(l, &v, &sets);
	leak_sets_free(&sets);
	marker_free(&m);
	heapview_free(&v);
}

static struct leaklist *new_list(void)
{
	static struct leaklist l;

	if (!l.p)
		l.p = sysmem_map(NULL, OUT * 64, SYS_GC);
	l.cap = OUT * 64;
	return &l;
}

START_TEST(test_classes)
{
	static const unsigned density[] = {0, 1, 2, 3, 6};
	struct leaklist *l = new_list();

	rng = (uint64_t)time(NULL) | 1;
	printf("seed %lu\n", rng);
	record();
	for (size_t round = 0; round < 60; round++) {
		struct verdict v = {0};

		make_graph(density[round % NELEM(density)]);
		model_suppress(round % 2);
		find_leaks(l, round % 2);
		ck_assert(leaklist_open(l));
		leaklist_each(l, see, &v);
		leaklist_close(l);
		compare(&v);
		free_graph();
	}
}
END_TEST

/* What is freed between the snapshot and the report is not reported. */
START_TEST(test_verify)
{
	struct leaklist *l = new_list();
	void *again;

	rng = (uint64_t)time(NULL) | 1;
	printf("seed %lu\n", rng);
	record();
	for (int round = 0; round < 20; round++) {
		struct verdict v = {0};
		bool freed[NODES] = {false};
		uint64_t n = 0;

		make_graph(2);
		memset(root, 0, sizeof(root));
		memset(live, 0, sizeof(live));
		find_leaks(l, false);
		for (size_t i = 0; i < NODES; i++) {
			if (below(3))
				continue;
			freed[i] = true;
			n++;
			heap_free(node[i]);
			/* Used again at once, but by somebody else. */
			next_stack = 77;
			again = below(2) ? heap_malloc(40) : NULL;
			(void)again;
		}
		ck_assert(leaklist_open(l));
		ck_assert_uint_eq(leaklist_verify(l), n);
		ck_assert_uint_eq(leaklist_verify(l), 0);
		leaklist_each(l, see, &v);
		leaklist_close(l);
		for (size_t i = 0; i < NODES; i++) {
			ck_assert(v.seen[i] == !freed[i]);
			if (!freed[i])
				heap_free(node[i]);
		}
	}
}
END_TEST

/* A list that is too short says so, and what is in it is right. */
START_TEST(test_truncated)
{
	struct leaklist *l = new_list();
	struct verdict v = {0};

	rng = 12345;
	record();
	make_graph(0);
	memset(live, 0, sizeof(live));
	memset(root, 0, sizeof(root));
	find_leaks(l, false);
	ck_assert(!l->truncated);
	l->cap = l->len / 2;
	find_leaks(l, false);
	ck_assert(l->truncated);
	ck_assert(leaklist_open(l));
	ck_assert_uint_eq(leaklist_verify(l), 0);
	leaklist_each(l, see, &v);
	ck_assert_uint_gt(v.objects, 0);
	ck_assert_uint_lt(v.objects, NODES);
	leaklist_close(l);
}
END_TEST

/* Ignored objects and what they lead to are live. */
START_TEST(test_ignore)
{
	struct mark_options o = {.nworkers = 1};
	struct heapview v;
	struct marker m;
	void **a, **b, **c, **d;
	uint64_t objects, bytes;
	uintptr_t given[3];

	record();
	next_stack = OBJINFO_IGNORED;
	a = heap_malloc(16);
	next_stack = 1;
	b = heap_malloc(16);
	c = memset(heap_malloc(16), 0, 16);
	d = memset(heap_malloc(200000), 0, 200000);
	a[0] = b;
	a[1] = NULL;
	b[0] = b[1] = NULL;
	d[20000] = c;
	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	leak_ignore(&m, NULL, 0);
	heapview_unmarked(&v, &objects, &bytes);
	ck_assert_uint_eq(objects, 2);
	given[0] = (uintptr_t)d;
	given[1] = 1234;	 /* no object */
	given[2] = (uintptr_t)d; /* twice */
	leak_ignore(&m, given, 3);
	heapview_unmarked(&v, &objects, &bytes);
	ck_assert_uint_eq(objects, 0);
	marker_free(&m);
	heapview_free(&v);
}
END_TEST

/* A child of fork speaks of its own objects only. */
START_TEST(test_epoch)
{
	struct verdict v = {0};
	struct leaklist *l = new_list();
	void **a, **b, **c;

	record();
	objinfo_for_leaks = true;
	next_stack = 1;
	a = heap_malloc(16);
	objinfo_epoch = 1;
	b = heap_malloc(16);
	c = heap_malloc(16);
	ck_assert(!b[0] && !b[1] && !c[0]); /* zeroed */
	a[0] = b; /* hangs off what is not the child's */
	find_leaks(l, false);
	ck_assert(leaklist_open(l));
	leaklist_each(l, see, &v);
	leaklist_close(l);
	ck_assert_uint_eq(v.objects, 1);
	c[0] = c;
	heap_free(c);
	c = heap_malloc(16);
	ck_assert(!c[0]);
}
END_TEST

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
	struct leaklist *l = new_list();
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
	leaklist_write(l, &v, &sets);
	ck_assert(leaklist_open(l));
	ck_assert(leaks_count(&leaks, l));

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
	Suite *s = suite_create("leak");
	TCase *t = tcase_create("leak");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_classes);
	tcase_add_test(t, test_verify);
	tcase_add_test(t, test_truncated);
	tcase_add_test(t, test_ignore);
	tcase_add_test(t, test_epoch);
	tcase_add_test(t, test_patterns);
	tcase_add_test(t, test_rules);
	tcase_add_test(t, test_reports);
	tcase_add_test(t, test_fingerprint);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
