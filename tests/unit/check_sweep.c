/* SPDX-License-Identifier: MIT */
/*
 * Reclaiming: what a mark has not reached is free afterwards, once, and all
 * else is untouched; finalizers in Go's order; what the program says is no
 * leak; reading pages that are protected.
 */
#include "alloc/heap.h"
#include "alloc/objinfo.h"
#include "alloc/stats.h"
#include "alloc/tick.h"
#include "gc/finalizer.h"
#include "gc/leak.h"
#include "gc/gcsweep.h"
#include "gc/guard.h"
#include "gc/leakscope.h"
#include "support/random.h"
#include "support/run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OBJECTS = 8000, LIST = 8 << 20 };

static void *root[OBJECTS]; /* what the program keeps */
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + OBJECTS), ROOT_GLOBALS, 0, 0};
static struct rootset roots = {.ranges = {&range, 1, 1}};
static struct rng rng;

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

static void seed(void)
{
	rng = rng_init(0);
}

static struct leaklist *find_garbage(void)
{
	static struct leaklist l;
	struct mark_options o = {.nworkers = 1};
	struct heapview v;
	struct marker m;

	if (!l.p)
		l.p = sysmem_map(NULL, LIST, SYS_GC);
	l.cap = LIST;
	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	leaklist_write(&l, &v, NULL);
	ck_assert(!l.truncated);
	marker_free(&m);
	heapview_free(&v);
	ck_assert(leaklist_open(&l));
	return &l;
}

static size_t some_size(void)
{
	return below(30)  ? below(700) + 1
	       : below(4) ? below(40000) + 1
			  : below(3 << 20) + 1;
}

static uint64_t live_objects(void)
{
	struct heapstats h;

	heapstats_read(&h);
	return h.mallocs - h.frees;
}

/* Keep some, lose some, free some before and some after the stop. */
static void lose(void **all, bool *lost, size_t *nlost)
{
	*nlost = 0;
	for (size_t i = 0; i < OBJECTS; i++) {
		size_t size = some_size();

		root[i] = NULL;
		all[i] = memset(heap_malloc(size), (int)i, size);
		lost[i] = below(2);
		*nlost += lost[i];
		if (!lost[i])
			root[i] = all[i];
	}
}

static void sweep_test(void)
{
	static void *all[OBJECTS];
	static bool lost[OBJECTS];
	uint64_t objects = 0, bytes = 0, before = live_objects(), late = 0;
	struct leaklist *l;
	size_t nlost;

	lose(all, lost, &nlost);
	l = find_garbage();
	/* A program that hides pointers frees some of them all the same. */
	for (size_t i = 0; i < OBJECTS; i++)
		if (lost[i] && below(4) == 0) {
			heap_free(all[i]);
			lost[i] = false;
			late++;
		}
	leaklist_verify(l);
	gcsweep(l, &objects, &bytes);
	ck_assert_uint_eq(objects, nlost - late);
	ck_assert_uint_gt(bytes, objects);
	ck_assert_uint_eq(live_objects(), before + OBJECTS - nlost);
	heap_check();
	/* A second sweep of the same list has nothing to do. */
	gcsweep(l, &objects, &bytes);
	ck_assert_uint_eq(objects, nlost - late);
	leaklist_close(l);
	for (size_t i = 0; i < OBJECTS; i++) {
		if (!root[i])
			continue;
		ck_assert_int_eq(*(unsigned char *)root[i], (int)(i & 0xff));
		heap_free(root[i]);
		root[i] = NULL;
	}
	ck_assert_uint_eq(live_objects(), before);
	heap_check();
}

START_TEST(test_sweep)
{
	seed();
	for (int round = 0; round < 5; round++)
		sweep_test();
}
END_TEST

static uint32_t stack_of(struct mcache *mc, const struct unwind_regs *r,
	size_t slot, unsigned shift)
{
	(void)r;
	(void)slot;
	(void)shift;
	return mc->ignoring ? OBJINFO_IGNORED : 5;
}

static uint64_t nfreed;

static void freed(uint32_t stack, size_t slot, unsigned shift)
{
	(void)slot;
	(void)shift;
	ck_assert(stack == 5 || stack == OBJINFO_IGNORED);
	nfreed++;
}

/* The same with objects that the profile knows. */
START_TEST(test_sweep_sampled)
{
	seed();
	objinfo_hooks.alloc = stack_of;
	objinfo_hooks.free = freed;
	tick_set_sample_rate(4096);
	sweep_test();
	ck_assert_uint_gt(nfreed, 10);
}
END_TEST

START_TEST(test_sweep_recorded)
{
	seed();
	objinfo_hooks.alloc = stack_of;
	objinfo_hooks.free = freed;
	objinfo_record_all();
	tick_set_sample_rate(1);
	sweep_test();
}
END_TEST

static uintptr_t called[8];
static size_t ncalled;

static void finalize(void *obj)
{
	called[ncalled++] = (uintptr_t)obj;
}

static void finalize_other(void *obj)
{
	called[ncalled++] = (uintptr_t)obj + 1;
}

/* One cycle's worth: which are due, then call them. Returns what is left. */
static uint64_t collect(void)
{
	struct mark_options o = {.nworkers = 1};
	uintptr_t out[8];
	uint64_t objects, bytes;
	struct heapview v;
	struct marker m;
	size_t n;

	ncalled = 0;
	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	n = finalizer_mark(&m, out, 8);
	heapview_unmarked(&v, &objects, &bytes);
	marker_free(&m);
	heapview_free(&v);
	finalizer_due(out, n);
	ck_assert(finalizer_pending() == (n > 0));
	finalizer_run();
	ck_assert(!finalizer_pending());
	ck_assert_uint_eq(ncalled, n);
	return objects;
}

START_TEST(test_finalizers)
{
	void **a = calloc(0, 0), **b, **c, **r1, **r2;

	free(a);
	a = memset(heap_malloc(32), 0, 32); /* a -> b -> c */
	b = memset(heap_malloc(32), 0, 32);
	c = memset(heap_malloc(32), 0, 32);
	r1 = memset(heap_malloc(32), 0, 32); /* r1 <-> r2 */
	r2 = memset(heap_malloc(32), 0, 32);
	a[0] = b;
	b[0] = c;
	r1[0] = r2;
	r2[0] = r1;
	ck_assert_int_eq(finalizer_set((char *)a + 8, finalize), 22);
	ck_assert_int_eq(finalizer_set(&ncalled, finalize), 22);
	ck_assert_int_eq(finalizer_set(a, finalize_other), 0);
	ck_assert_int_eq(finalizer_set(a, finalize), 0); /* replaces */
	ck_assert_int_eq(finalizer_set(c, finalize), 0);
	ck_assert_int_eq(finalizer_set(r1, finalize), 0);
	root[0] = a;
	ck_assert_uint_eq(finalizer_count(), 3);
	ck_assert_uint_eq(collect(), 0); /* the ring is kept by its own */
	ck_assert_uint_eq(ncalled, 0);
	root[0] = NULL;
	ck_assert_uint_eq(collect(), 0); /* a goes first and keeps the rest */
	ck_assert_uint_eq(ncalled, 1);
	ck_assert_uint_eq(called[0], (uintptr_t)a);
	ck_assert_uint_eq(collect(), 2); /* a, b are garbage; c is due */
	ck_assert_uint_eq(ncalled, 1);
	ck_assert_uint_eq(called[0], (uintptr_t)c);
	ck_assert_uint_eq(collect(), 3);
	ck_assert_uint_eq(ncalled, 0);
	ck_assert_int_eq(finalizer_set(r1, NULL), 0);
	ck_assert_uint_eq(finalizer_count(), 0);
	ck_assert_uint_eq(collect(), 5);
}
END_TEST

static uint64_t unreached(void)
{
	struct mark_options o = {.nworkers = 1};
	uintptr_t given[64];
	uint64_t objects, bytes;
	struct heapview v;
	struct marker m;

	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	leak_ignore(&m, given, leak_ignored(given, 64));
	heapview_unmarked(&v, &objects, &bytes);
	marker_free(&m);
	heapview_free(&v);
	return objects;
}

/* Without and with an entry for each object. */
static void scopes(void)
{
	void **a = memset(heap_malloc(16), 0, 16), **b, **big;
	uint64_t left = unreached();

	b = memset(heap_malloc(16), 0, 16);
	b[0] = memset(heap_malloc(48), 0, 48);
	big = memset(heap_malloc(3 << 20), 0, 3 << 20);
	ck_assert_uint_eq(unreached(), left + 3);
	leak_ignore_object((char *)b + 7);
	leak_ignore_object(b);
	leak_ignore_object(NULL);
	leak_ignore_object(&left);
	ck_assert_uint_eq(unreached(), left + 1);
	leak_ignore_object(big);
	ck_assert_uint_eq(unreached(), left);
	heap_free(big);
	heap_free(b[0]);
	heap_free(b);
	leak_forget_freed();
	ck_assert_uint_eq(unreached(), left);
	/* Scopes nest, and one too many ends does no harm. */
	leak_enable();
	leak_disable();
	leak_disable();
	for (int i = 0; i < 500; i++)
		memset(heap_malloc((size_t)i * 13), 0, (size_t)i * 13);
	big = memset(heap_malloc(2 << 20), 0, 2 << 20);
	big[1000] = a; /* hangs off an ignored one */
	leak_enable();
	memset(heap_malloc(100), 0, 100);
	leak_enable();
	ck_assert_uint_eq(unreached(), left - 1);
	for (int i = 0; i < 300; i++)
		memset(heap_malloc(100), 0, 100);
	ck_assert_uint_eq(unreached(), left + 299);
	heap_check();
}

START_TEST(test_scopes)
{
	objinfo_hooks.alloc = stack_of;
	objinfo_hooks.free = freed;
	scopes();
}
END_TEST

static void *leave_open(void *arg)
{
	leak_disable();
	leak_disable();
	memset(heap_malloc(5000), 0, 5000);
	return arg;
}

/* A thread's scope ends with it; who gets its mcache next has none. */
static void *find_closed(void *arg)
{
	uint64_t left = unreached();

	memset(heap_malloc(5000), 0, 5000);
	ck_assert_uint_eq(unreached(), left + 1);
	return arg;
}

START_TEST(test_scope_of_thread)
{
	pthread_t t;

	objinfo_hooks.alloc = stack_of;
	objinfo_hooks.free = freed;
	for (int i = 0; i < 2; i++) {
		pthread_create(&t, NULL, i ? find_closed : leave_open, NULL);
		pthread_join(t, NULL);
	}
}
END_TEST

START_TEST(test_scopes_recorded)
{
	objinfo_hooks.alloc = stack_of;
	objinfo_hooks.free = freed;
	objinfo_record_all();
	tick_set_sample_rate(1);
	scopes();
}
END_TEST

/* The marker reads what the program has closed, and closes it again. */
START_TEST(test_guard)
{
	char *big = heap_malloc(64 * 4096);
	void *small = heap_malloc(64);
	char *hole;
	unsigned char seen;

	memset(big, 0, 64 * 4096);
	memcpy(big + 20 * 4096 + 8, &small, 8);
	root[0] = big;
	ck_assert(!mprotect(big + 20 * 4096, 4096, PROT_NONE));
	ck_assert(!mprotect(big + 22 * 4096, 4096, PROT_NONE));
	guard_begin(false);
	ck_assert_uint_eq(unreached(), 0);
	guard_end();
	/* Closed again: write(2) can't read it. */
	ck_assert_int_eq(mincore(big + 20 * 4096, 4096, &seen), 0);
	hole = big + 20 * 4096;
	{
		int fd[2];

		ck_assert(!pipe(fd));
		ck_assert_int_eq(write(fd[1], hole, 1), -1);
		ck_assert_int_eq(write(fd[1], hole + 2 * 4096, 1), -1);
		ck_assert_int_eq(write(fd[1], hole + 4096, 1), 1);
	}
	mprotect(big, 64 * 4096, PROT_READ | PROT_WRITE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sweep");
	TCase *t = new_case(s, "sweep");

	seed_init();
	tcase_add_test(t, test_sweep);
	tcase_add_test(t, test_sweep_sampled);
	tcase_add_test(t, test_sweep_recorded);
	tcase_add_test(t, test_finalizers);
	tcase_add_test(t, test_scopes);
	tcase_add_test(t, test_scope_of_thread);
	tcase_add_test(t, test_scopes_recorded);
	tcase_add_test(t, test_guard);
	return run_suite(s);
}
