/* SPDX-License-Identifier: MIT */
/*
 * Whole cycles in this very process, in a copy and in place, on random graphs
 * whose fate is known; cycles in steps, abandoned, refused, forked away from;
 * the order of what a cycle tells.
 */
#include "gc/gc.h"
#include "alloc/heap.h"
#include "alloc/stats.h"
#include "gc/snapshot.h"
#include "os/writetrack.h"
#include "support/cycles.h"
#include "support/random.h"
#include "support/run.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES = 4000, EDGES = 4, ROOTS = 40, MAX_EVENTS = 64, STRAYS = 2 };

static void **volatile root[ROOTS];
static uintptr_t hidden[NODES]; /* ~address: no marker takes that for one */
static uint16_t edge[NODES][EDGES];
static bool live[NODES];
static size_t nlive;
static size_t largest; /* number of nodes that a lost one leads to */
static struct rng rng;

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

static void reach(size_t i)
{
	if (live[i])
		return;
	live[i] = true;
	nlive++;
	for (int k = 0; k < EDGES; k++)
		if (edge[i][k])
			reach(edge[i][k]);
}

static size_t led_to(size_t i, uint16_t *seen, uint16_t by)
{
	size_t n = 1;

	if (live[i] || seen[i] == by)
		return 0;
	seen[i] = by;
	for (int k = 0; k < EDGES; k++)
		if (edge[i][k])
			n += led_to(edge[i][k], seen, by);
	return n;
}

static void measure(void)
{
	uint16_t seen[NODES] = {0};

	largest = 0;
	for (size_t i = 1; i < NODES; i++) {
		size_t n = led_to(i, seen, (uint16_t)i);

		largest = MAX(largest, n);
	}
}

static void **node(size_t i)
{
	return (void **)~hidden[i];
}

/* Node 0 is nobody's: an edge 0 is none. */
static void build(void)
{
	memset(live, 0, sizeof(live));
	nlive = 0;
	for (size_t i = 1; i < NODES; i++)
		hidden[i] = ~(uintptr_t)memset(
			heap_malloc(8 * (EDGES + below(40))), 0, 8 * EDGES);
	for (size_t i = 1; i < NODES; i++)
		for (int k = 0; k < EDGES; k++) {
			edge[i][k] = below(6) ? 0 : (uint16_t)below(NODES);
			node(i)[k] = edge[i][k] ? node(edge[i][k]) : NULL;
		}
	for (int i = 0; i < ROOTS; i++) {
		size_t at = 1 + below(NODES - 1);

		root[i] = node(at);
		reach(at);
	}
	measure();
}

static NOINLINE void scrub(void)
{
	char below_us[65536];

	memset(below_us, 0, sizeof(below_us));
	__asm__ volatile("" : : "r"(below_us) : "memory");
}

static void *builder(void *unused)
{
	build();
	scrub();
	return unused;
}

/* On another thread: ours would keep addresses on its stack. */
static void make_graph(void)
{
	pthread_t t;

	rng = rng_init(0);
	ck_assert(!pthread_create(&t, NULL, builder, NULL));
	pthread_join(t, NULL);
}

/*
 * The library's own data are this program's globals here and may hold an
 * address or two, and what they lead to is not lost.
 */
static bool is_rest(uint64_t n)
{
	uint64_t rest = NODES - 1 - nlive;

	return n <= rest && n + STRAYS * largest >= rest;
}

static uint64_t leaked(void)
{
	const struct leaks *l = gc_leaks();
	uint64_t n;

	ck_assert_ptr_nonnull(l);
	n = l->objects[LEAK_DIRECT] + l->objects[LEAK_INDIRECT];
	gc_leaks_done();
	return n;
}

static void finds_leaks(void)
{
	make_graph();
	ck_assert_ptr_null(gc_cycle(GC_FORCED, true));
	ck_assert(is_rest(leaked()));
	ck_assert(is_rest(stats().leaked_objects));
	ck_assert_uint_eq(stats().numgc, 1);
	ck_assert_uint_eq(stats().cycles[GC_FORCED][GC_COMPLETED], 1);
	ck_assert_uint_gt(stats().pause_ns[0], 0);
	/* Freed, they are no leaks any more. */
	for (size_t i = 1; i < NODES; i++)
		if (!live[i])
			heap_free(node(i));
	ck_assert_ptr_null(gc_cycle(GC_FORCED, true));
	ck_assert_uint_eq(leaked(), 0);
}

START_TEST(test_copy)
{
	gc_init();
	ck_assert_ptr_null(gc_leaks());
	gc_leaks_done();
	finds_leaks();
}
END_TEST

START_TEST(test_in_place)
{
	set("GODEBUG=gcstoptheworld=1");
	finds_leaks();
}
END_TEST

START_TEST(test_refused)
{
	gc_init();
	snapshot_refuse = EAGAIN;
	finds_leaks(); /* a small heap is marked in place then */
}
END_TEST

START_TEST(test_off)
{
	set("GOSTAT_GC=off");
	ck_assert_str_eq(gc_cycle(GC_FORCED, true), "GOSTAT_GC=off");
	ck_assert_uint_eq(stats().numgc, 0);
	ck_assert_uint_eq(stats().cycles[GC_FORCED][GC_REFUSED], 1);
	ck_assert_int_eq(gc_set_percent(50), -1);
}
END_TEST

static uint64_t objects_out(void)
{
	struct heapstats h;

	heapstats_read(&h);
	return h.objects;
}

static void reclaims(void)
{
	uint64_t before, gone;

	make_graph();
	before = objects_out();
	ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
	gone = stats().reclaimed_objects;
	ck_assert(is_rest(gone));
	ck_assert_uint_eq(objects_out(), before - gone);
	for (size_t i = 1; i < NODES; i++)
		for (int k = 0; live[i] && k < EDGES; k++)
			ck_assert_ptr_eq(node(i)[k],
				edge[i][k] ? node(edge[i][k]) : NULL);
	ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
	ck_assert(is_rest(stats().reclaimed_objects));
}

START_TEST(test_reclaim)
{
	set("GOSTAT_GC=reclaim");
	reclaims();
}
END_TEST

/* As where no copy can be made: with two stops where the kernel helps. */
START_TEST(test_parts)
{
	set("GODEBUG=gcnocopy=1");
	finds_leaks();
}
END_TEST

START_TEST(test_parts_reclaim)
{
	char *env[] = {"GODEBUG=gcnocopy=1", "GOSTAT_GC=reclaim", NULL};

	options_parse(env, false);
	gc_init();
	reclaims();
}
END_TEST

START_TEST(test_parts_refused)
{
	set("GODEBUG=gcnocopy=1");
	writetrack_refuse = WRITETRACK_OLD;
	finds_leaks(); /* in place */
}
END_TEST

/*
 * Threads that change what they have, all the time: chains that are cut and
 * joined, moved from hand to hand, so that a marker sees each link in one place
 * or the other, or in neither. Every link has a number that must not change.
 */
enum { MOVERS = 3, LINKS = 400, CYCLES = 25 };

struct link {
	struct link *next;
	uint64_t number, check;
};

static struct link *hand[MOVERS + 1];
static pthread_mutex_t hands = PTHREAD_MUTEX_INITIALIZER;
static uint32_t moving, moved;

static struct link *new_link(uint64_t number)
{
	struct link *l = heap_malloc(sizeof(*l) + number % 300);

	*l = (struct link){NULL, number, ~number};
	return l;
}

static void check_chain(const struct link *l)
{
	for (; l; l = l->next)
		MUST_EQ(l->check, ~l->number);
}

static void *mover(void *arg)
{
	uint64_t x = 88172645463325252u + (uintptr_t)arg, turn = 0;
	struct link *mine = NULL;

	/* relaxed: a test's switch. */
	while (__atomic_load_n(&moving, __ATOMIC_RELAXED)) {
		struct link *l;
		int k;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		k = (int)(x >> 20) % (MOVERS + 1);
		/* Take the first link of some hand, put it into another. */
		pthread_mutex_lock(&hands);
		l = hand[k];
		if (l)
			hand[k] = l->next;
		pthread_mutex_unlock(&hands);
		if (l) {
			MUST_EQ(l->check, ~l->number);
			l->next = mine;
			mine = l;
		}
		if (turn++ % 3 == 0) { /* as a new one */
			l = mine;
			mine = l ? l->next : NULL;
			if (l) {
				struct link *copy = new_link(l->number);

				heap_free(l);
				pthread_mutex_lock(&hands);
				k = (int)(x >> 40) % (MOVERS + 1);
				copy->next = hand[k];
				hand[k] = copy;
				pthread_mutex_unlock(&hands);
			}
		}
		heap_malloc(16 + x % 200); /* lost at once */
		__atomic_fetch_add(&moved, 1, __ATOMIC_RELAXED);
		if (turn % 64 == 0)
			usleep(100);
	}
	check_chain(mine);
	return mine;
}

START_TEST(test_parts_moving)
{
	char *env[] = {"GODEBUG=gcnocopy=1", "GOSTAT_GC=reclaim", NULL};
	pthread_t t[MOVERS];
	uint64_t links = 0;

	if (no_parts())
		return;
	options_parse(env, false);
	gc_init();
	gc_set_percent(-1);
	for (uint64_t i = 0; i < LINKS; i++) {
		struct link *l = new_link(i);

		l->next = hand[i % 2];
		hand[i % 2] = l;
	}
	__atomic_store_n(&moving, 1, __ATOMIC_RELAXED);
	for (uintptr_t i = 0; i < MOVERS; i++)
		ck_assert(!pthread_create(&t[i], NULL, mover, (void *)i));
	for (int i = 0; i < CYCLES; i++) {
		uint32_t before = __atomic_load_n(&moved, __ATOMIC_RELAXED);

		ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
		while (__atomic_load_n(&moved, __ATOMIC_RELAXED) - before < 100)
			usleep(100);
	}
	__atomic_store_n(&moving, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < MOVERS; i++) {
		void *mine;

		pthread_join(t[i], &mine);
		for (struct link *l = mine; l; l = l->next)
			links++;
	}
	for (int i = 0; i <= MOVERS; i++) {
		check_chain(hand[i]);
		for (struct link *l = hand[i]; l; l = l->next)
			links++;
	}
	ck_assert_uint_eq(links, LINKS);
	/* What was lost before a cycle has been reclaimed by some. */
	ck_assert_uint_gt(stats().reclaimed_objects, 1000);
}
END_TEST

/* -------- steps -------- */

static const char *finish(void)
{
	const char *error = NULL;

	while (gc_look(&error) == GC_RUNNING)
		usleep(200);
	return error;
}

START_TEST(test_steps)
{
	const char *error;

	gc_init();
	make_graph();
	ck_assert_int_eq(gc_begin(GC_HEAP, true, &error), GC_RUNNING);
	ck_assert_int_eq(gc_begin(GC_HEAP, true, &error), GC_BUSY);
	ck_assert_uint_eq(stats().numgc, 0);
	ck_assert_ptr_null(finish());
	ck_assert(is_rest(leaked()));
	ck_assert_uint_eq(stats().cycles[GC_HEAP][GC_COMPLETED], 1);
	ck_assert_uint_eq(stats().numforced, 0);
}
END_TEST

/* A cycle by parts is under way: fork, and the end of the process. */
START_TEST(test_parts_amid)
{
	const char *error;
	int status, pid;

	if (no_parts())
		return;
	set("GODEBUG=gcnocopy=1");
	make_graph();
	ck_assert_int_eq(gc_begin(GC_FORCED, true, &error), GC_RUNNING);
	ck_assert_int_eq(gc_begin(GC_FORCED, true, &error), GC_BUSY);
	gc_abandon(); /* there is nothing to kill */
	gc_prefork();
	pid = fork();
	if (pid == 0) {
		gc_postfork_child();
		if (gc_cycle(GC_FORCED, true))
			_exit(2);
		if (!is_rest(leaked()))
			_exit(3);
		if (gc_begin(GC_FORCED, true, &error) != GC_RUNNING)
			_exit(4);
		_exit(gc_cycle(GC_EXIT, true) ? 5
			: is_rest(leaked()) ? 7 : 6);
	}
	gc_postfork_parent();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	ck_assert_ptr_null(finish());
	ck_assert(is_rest(leaked()));
	ck_assert_uint_eq(stats().cycles[GC_FORCED][GC_COMPLETED], 1);
}
END_TEST

START_TEST(test_abandon)
{
	const char *error;

	gc_init();
	gc_abandon(); /* nothing to end */
	make_graph();
	ck_assert_int_eq(gc_begin(GC_FORCED, true, &error), GC_RUNNING);
	gc_abandon();
	error = finish();
	/* It may have been done before that. */
	if (error) {
		ck_assert_str_eq(error, "the copy of the process was killed");
		ck_assert_uint_eq(stats().cycles[GC_FORCED][GC_ABORTED], 1);
	}
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_ptr_null(gc_cycle(GC_FORCED, true));
	ck_assert(is_rest(leaked()));
}
END_TEST

/* The child has the heap, but neither the cycle nor its findings. */
START_TEST(test_fork)
{
	const char *error;
	int status, pid;

	gc_init();
	make_graph();
	ck_assert_ptr_null(gc_cycle(GC_FORCED, true));
	ck_assert_int_eq(gc_begin(GC_FORCED, true, &error), GC_RUNNING);
	gc_prefork();
	pid = fork();
	if (pid == 0) {
		gc_postfork_child();
		if (stats().numgc || gc_leaks())
			_exit(1);
		gc_leaks_done();
		if (gc_cycle(GC_FORCED, true))
			_exit(2);
		_exit(is_rest(leaked()) ? 7 : 3);
	}
	gc_postfork_parent();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	ck_assert_ptr_null(finish());
	ck_assert_uint_eq(stats().numgc, 2);
	ck_assert(is_rest(leaked()));
}
END_TEST

/* The end of the process does not wait for a cycle of somebody else's. */
static void *at_the_end(void *error)
{
	*(const char **)error = gc_cycle(GC_EXIT, true);
	return NULL;
}

START_TEST(test_exit)
{
	int pid, status;

	gc_init();
	make_graph();
	pid = fork(); /* the world will not go on */
	if (pid == 0)
		_exit(gc_cycle(GC_EXIT, true) ? 1
			: is_rest(leaked()) ? 7 : 2);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

START_TEST(test_exit_amid)
{
	const char *error, *end = "not yet";
	pthread_t t;
	int pid, status;

	gc_init();
	make_graph();
	pid = fork();
	if (pid == 0) {
		/* This thread will not look again: it is as good as dead. */
		if (gc_begin(GC_FORCED, true, &error) != GC_RUNNING)
			_exit(1);
		pthread_create(&t, NULL, at_the_end, &end);
		pthread_join(t, NULL);
		_exit(end && strcmp(end, "a cycle is under way for ever") == 0
				? 7 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

/* The thread whose cycle it is can take it over: from a signal's handler. */
START_TEST(test_exit_own)
{
	const char *error;
	int pid, status;

	gc_init();
	make_graph();
	pid = fork();
	if (pid == 0) {
		if (gc_begin(GC_FORCED, true, &error) != GC_RUNNING)
			_exit(1);
		_exit(gc_cycle(GC_EXIT, true) ? 2
			: is_rest(leaked()) ? 7 : 3);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 7);
}
END_TEST

/* -------- two at a time -------- */

static int inside;

static void on_event(enum gc_event e, uint64_t a UNUSED, uint64_t b UNUSED)
{
	if (e == GC_EVENT_START)
		ck_assert_int_eq(__atomic_fetch_add(&inside, 1,
			__ATOMIC_SEQ_CST), 0); /* seq_cst: a test */
	if (e == GC_EVENT_DONE)
		__atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
}

static void *ask(void *unused)
{
	for (int i = 0; i < 10; i++)
		ck_assert_ptr_null(gc_cycle(GC_FORCED, true));
	return unused;
}

START_TEST(test_one_at_a_time)
{
	pthread_t t[4];

	gc_init();
	gc_hooks.event = on_event;
	make_graph();
	for (int i = 0; i < 4; i++)
		ck_assert(!pthread_create(&t[i], NULL, ask, NULL));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(stats().numgc, 40);
	ck_assert_int_eq(inside, 0);
	ck_assert_uint_le(leaked(), NODES - 1 - nlive);
}
END_TEST

static enum gc_event seen[MAX_EVENTS];
static unsigned nseen;

static void note_event(enum gc_event e, uint64_t a, uint64_t b UNUSED)
{
	ck_assert_uint_lt(nseen, MAX_EVENTS);
	if (e == GC_EVENT_START)
		ck_assert_uint_eq(a, GC_FORCED);
	if (e == GC_EVENT_GO)
		ck_assert_uint_gt(a, 0);
	seen[nseen++] = e;
}

START_TEST(test_events)
{
	static const enum gc_event order[] = {GC_EVENT_START, GC_EVENT_STOP,
		GC_EVENT_GO, GC_EVENT_MARK, GC_EVENT_MARKED, GC_EVENT_SWEEP,
		GC_EVENT_SWEPT, GC_EVENT_GOAL, GC_EVENT_DONE};

	set("GOSTAT_GC=reclaim");
	make_graph();
	gc_hooks.event = note_event;
	ck_assert_ptr_null(gc_cycle(GC_FORCED, false));
	ck_assert_uint_eq(nseen, NELEM(order));
	ck_assert_mem_eq(seen, order, sizeof(order));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gc");
	TCase *t = new_case(s, "gc");

	seed_init();
	tcase_add_test(t, test_copy);
	tcase_add_test(t, test_in_place);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_off);
	tcase_add_test(t, test_reclaim);
	tcase_add_test(t, test_parts);
	tcase_add_test(t, test_parts_reclaim);
	tcase_add_test(t, test_parts_refused);
	tcase_add_test(t, test_parts_moving);
	tcase_add_test(t, test_parts_amid);
	tcase_add_test(t, test_steps);
	tcase_add_test(t, test_abandon);
	tcase_add_test(t, test_fork);
	tcase_add_test(t, test_exit);
	tcase_add_test(t, test_exit_amid);
	tcase_add_test(t, test_exit_own);
	tcase_add_test(t, test_one_at_a_time);
	tcase_add_test(t, test_events);
	return run_suite(s);
}
