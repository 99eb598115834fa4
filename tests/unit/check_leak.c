/* SPDX-License-Identifier: MIT */
/*
 * Classes of leaked objects against a naive model (reachability by closure),
 * and the list that a snapshot hands over.
 */
#include "alloc/heap.h"
#include "gc/leakreport.h"
#include "os/sysmem.h"
#include "support/leakstacks.h"
#include "support/random.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 160, OUT = 1 << 16, BAD = 7, NSTACKS = 9 };

static uintptr_t root[4];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + 4), ROOT_GLOBALS, 0, 0};
static struct rootset roots = {.ranges = {&range, 1, 1}};

static void **node[NODES];
static uint32_t stack_of_node[NODES];
static bool reach[NODES][NODES]; /* [a][b]: a leads to b, or a == b */
static bool live[NODES], hidden[NODES];
static struct rng rng;

static size_t below(size_t n)
{
	return rng_below(&rng, n);
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

	rng = rng_init(0);
	record_stacks();
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

	rng = rng_init(0);
	record_stacks();
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

	rng = rng_init(1);
	record_stacks();
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

	record_stacks();
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

	record_stacks();
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

int main(void)
{
	Suite *s = suite_create("leak");
	TCase *t = new_case(s, "leak");

	seed_init();
	tcase_add_test(t, test_classes);
	tcase_add_test(t, test_verify);
	tcase_add_test(t, test_truncated);
	tcase_add_test(t, test_ignore);
	tcase_add_test(t, test_epoch);
	return run_suite(s);
}
