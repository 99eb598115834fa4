/* SPDX-License-Identifier: MIT */
/*
 * What is handed from one side to the other while all sides run: a verdict, to
 * who sweeps by it; swept memory, to who allocates; work, between threads that
 * mark; a thread at rest, to who stops the world. Made for ThreadSanitizer,
 * which finds an order that is missing even when nothing goes wrong; what can be
 * counted is exact in any build.
 *
 * The world is stopped with a mutex for each thread, since signals come late
 * under sanitizers. That only replaces gc/stw.c.
 */
#include "alloc/heap.h"
#include "alloc/mcache.h"
#include "gc/gcsweep.h"
#include "gc/mark.h"
#include "support/random.h"
#include "support/run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	THREADS = 3,
	SLOTS = 300,  /* what a thread keeps */
	LOST = 20000, /* what it can lose in all */
	ROUNDS = 60,
	LIST = 16 << 20,
	VISIT = 1000,
	STEPS = 40, /* of a thread, each time the world runs */
};

enum phase {
	USUAL,
	FREE_HIDDEN, /* and allocate nothing: it might be the same memory */
	FREE_ONLY,
	OVER
};

struct program {
	pthread_mutex_t run; /* held in each step */
	enum phase phase;
	struct rng rng;
	uint64_t steps;
	/* ~address, so that no marker takes it for one. */
	uintptr_t lost[LOST];
	size_t nlost;  /* not swept yet */
	size_t listed; /* of them, before the stop */
	uint64_t late; /* freed since, of those */
	pthread_t thread;
};

static struct program program[THREADS];
static void *kept[THREADS][SLOTS];
static struct root_range range = {
	(uintptr_t)kept, (uintptr_t)(kept + THREADS), ROOT_GLOBALS, 0, 0};
static struct rootset roots = {.ranges = {&range, 1, 1}};

/* An object's words all say whose it is. */
static void *make(struct program *p)
{
	uint64_t n = 8 * (1 + rng_below(&p->rng, 60));
	uint64_t *w;

	if (rng_below(&p->rng, 60) == 0)
		n += 40000 + 8 * rng_below(&p->rng, 9000);
	w = heap_malloc(n);
	MUST(w);
	w[0] = n;
	for (uint64_t i = 1; i < n / 8; i++)
		w[i] = ~(uintptr_t)w;
	return w;
}

static void check(const uint64_t *w)
{
	MUST(w[0] >= 8 && w[0] % 8 == 0);
	for (uint64_t i = 1; i < w[0] / 8; i++)
		MUST_EQ(w[i], ~(uintptr_t)w);
}

/*
 * A program that hides a pointer and frees what it leads to all the same. Small
 * objects: those that are runs of pages are looked for only once.
 */
static void free_hidden(struct program *p)
{
	size_t i;

	if (p->nlost == 0)
		return;
	i = rng_below(&p->rng, p->nlost);
	if (*(uint64_t *)~p->lost[i] > MAX_SMALL)
		return;
	heap_free((void *)~p->lost[i]);
	if (i < p->listed) {
		p->late++;
		p->listed--;
		/* Listed ones stay in front. */
		p->lost[i] = p->lost[p->listed];
		i = p->listed;
	}
	p->lost[i] = p->lost[--p->nlost];
}

static void step(struct program *p)
{
	void **slot = &kept[p - program][rng_below(&p->rng, SLOTS)];

	p->steps++;
	if (*slot)
		check(*slot);
	if (p->phase == FREE_HIDDEN && rng_below(&p->rng, 4) == 0) {
		free_hidden(p);
		return;
	}
	if (p->phase != USUAL) {
		heap_free(*slot);
		*slot = NULL;
		return;
	}
	if (*slot && rng_below(&p->rng, 8) == 0 && p->nlost < LOST)
		p->lost[p->nlost++] = ~(uintptr_t)*slot;
	else
		heap_free(*slot);
	*slot = make(p);
}

static bool go_on(struct program *p)
{
	bool over;

	pthread_mutex_lock(&p->run);
	over = p->phase == OVER;
	for (int i = 0; i < STEPS && !over; i++)
		step(p);
	pthread_mutex_unlock(&p->run);
	return !over;
}

static void *run(void *arg)
{
	while (go_on(arg))
		sched_yield();
	return NULL;
}

/*
 * Threads that come and go while magazines are read. They have a size of their
 * own: to allocate what was hidden and freed would be to deceive the collector.
 */
static void *visit(void *unused)
{
	for (int i = 0; i < 200; i++)
		heap_free(memset(heap_malloc(VISIT), i, VISIT));
	return unused;
}

static void stop(void)
{
	for (int i = 0; i < THREADS; i++)
		pthread_mutex_lock(&program[i].run);
}

static void start(enum phase phase)
{
	for (int i = 0; i < THREADS; i++) {
		program[i].phase = phase;
		pthread_mutex_unlock(&program[i].run);
	}
}

/* Until every thread has done something since. */
static void wait_for_steps(uint64_t n)
{
	uint64_t before[THREADS], now;

	for (int i = 0; i < THREADS; i++) {
		pthread_mutex_lock(&program[i].run);
		before[i] = program[i].steps;
		pthread_mutex_unlock(&program[i].run);
	}
	for (int i = 0; i < THREADS; i++)
		do {
			sched_yield();
			pthread_mutex_lock(&program[i].run);
			now = program[i].steps;
			pthread_mutex_unlock(&program[i].run);
		} while (now - before[i] < n);
}

/* World stopped: what nobody can reach, listed. */
static uint64_t judge(struct leaklist *l)
{
	struct mark_options o = {.nworkers = 1};
	struct heapview v;
	struct marker m;
	uint64_t listed = 0, objects, bytes;

	for (int i = 0; i < THREADS; i++) {
		program[i].listed = program[i].nlost;
		program[i].late = 0;
		listed += program[i].nlost;
	}
	MUST(heapview_init(&v, &roots));
	MUST(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	heapview_unmarked(&v, &objects, &bytes);
	leaklist_write(l, &v, NULL);
	MUST(!l->truncated);
	marker_free(&m);
	heapview_free(&v);
	MUST_EQ(objects, listed);
	return listed;
}

/* World stopped: what was listed and is not freed yet is gone now. */
static uint64_t forget_listed(void)
{
	uint64_t late = 0;

	for (int i = 0; i < THREADS; i++) {
		struct program *p = &program[i];

		memmove(p->lost, p->lost + p->listed,
			(p->nlost - p->listed) * sizeof(p->lost[0]));
		p->nlost -= p->listed;
		p->listed = 0;
		late += p->late;
	}
	return late;
}

/*
 *	stop, judge | verify, while hidden things are freed | stop |
 *	sweep, while others are
 *
 * and every other time, while things are allocated and freed, in both.
 */
static void cycle(struct leaklist *l, bool hidden)
{
	pthread_t visitor;
	uint64_t listed, late, objects = 0, bytes = 0;

	stop();
	listed = judge(l);
	start(hidden ? FREE_HIDDEN : USUAL);
	MUST(leaklist_open(l));
	MUST(!pthread_create(&visitor, NULL, visit, NULL));
	leaklist_verify(l);
	wait_for_steps(50);
	stop();
	late = forget_listed();
	start(hidden ? FREE_ONLY : USUAL);
	gcsweep(l, &objects, &bytes);
	MUST_EQ(objects, listed - late);
	leaklist_close(l);
	stop();
	start(USUAL);
	wait_for_steps(500);
	pthread_join(visitor, NULL);
}

START_TEST(test_verdict)
{
	struct leaklist l = {.p = sysmem_map(NULL, LIST, SYS_GC), .cap = LIST};

	ck_assert_ptr_nonnull(l.p);
	heap_free(heap_malloc(1)); /* there is a heap before there are threads */
	for (int i = 0; i < THREADS; i++) {
		program[i].rng = rng_init((uint64_t)i);
		pthread_mutex_init(&program[i].run, NULL);
		ck_assert(!pthread_create(
			&program[i].thread, NULL, run, &program[i]));
	}
	wait_for_steps(2000);
	for (int i = 0; i < ROUNDS; i++)
		cycle(&l, i % 2);
	stop();
	start(OVER);
	for (int i = 0; i < THREADS; i++)
		pthread_join(program[i].thread, NULL);
	heap_check();
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < SLOTS; k++)
			if (kept[i][k])
				check(kept[i][k]);
}
END_TEST

/* -------- threads that mark -------- */

enum { NODES = 20000, EDGES = 6, MARKERS = 4 };

struct job {
	void (*run)(void *);
	void *arg;
};

static struct job job[MARKERS];
static pthread_t marker[MARKERS];
static unsigned nmarkers;

static void *do_job(void *arg)
{
	struct job *j = arg;

	j->run(j->arg);
	return NULL;
}

static bool in_pthread(void (*fn)(void *), void *arg)
{
	struct job *j = &job[nmarkers];

	*j = (struct job){fn, arg};
	return !pthread_create(&marker[nmarkers++], NULL, do_job, j);
}

static uint64_t mark_with(unsigned workers)
{
	struct mark_options o = {.nworkers = workers};
	struct heapview v;
	struct marker m;
	uint64_t objects, bytes;

	nmarkers = 0;
	MUST(heapview_init(&v, &roots));
	MUST(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	for (unsigned i = 0; i < nmarkers; i++)
		pthread_join(marker[i], NULL);
	heapview_unmarked(&v, &objects, &bytes);
	heapview_check(&v);
	marker_free(&m);
	heapview_free(&v);
	return v.objects - objects;
}

/* A graph of which most is far from the roots: work has to be shared. */
START_TEST(test_workers)
{
	static void **node[NODES];
	struct rng rng = rng_init(0);
	uint64_t alone;

	mark_thread = in_pthread;
	for (size_t i = 0; i < NODES; i++) {
		node[i] = heap_malloc(8 * EDGES + 8 * rng_below(&rng, 40));
		memset(node[i], 0, 8 * EDGES);
	}
	for (size_t i = 0; i < NODES; i++)
		for (size_t k = 0; k < EDGES; k++)
			node[i][k] = rng_below(&rng, 4)
				? NULL : node[rng_below(&rng, NODES)];
	for (size_t i = 0; i < SLOTS; i++)
		kept[0][i] = node[rng_below(&rng, NODES)];
	alone = mark_with(1);
	ck_assert_uint_gt(alone, NODES / 3);
	for (int i = 0; i < 30; i++) {
		ck_assert_uint_eq(mark_with(MARKERS), alone);
		ck_assert_uint_eq(nmarkers, MARKERS - 1);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handover");
	TCase *t = new_case(s, "handover");

	seed_init();
	tcase_add_test(t, test_verdict);
	tcase_add_test(t, test_workers);
	return run_suite(s);
}
