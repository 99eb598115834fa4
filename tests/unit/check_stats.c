/* SPDX-License-Identifier: MIT */
/* Snapshots at every instruction, from handlers and from other threads. */
#include "alloc/stats.h"
#include "alloc/mcentral.h"
#include "alloc/tick.h"
#include "support/count.h"
#include "support/random.h"

#include <pthread.h>
#include <sched.h>
#include <ucontext.h>

/* What the program has asked for, before and after each call. */
struct progress {
	uint64_t started, finished; /* mallocs */
	uint64_t freeing, freed;
} CACHE_ALIGNED;

static void *noted_malloc(struct progress *p, size_t size)
{
	void *q;

	own_add(&p->started, 1);
	signal_fence();
	q = heap_malloc(size);
	signal_fence();
	own_add(&p->finished, 1);
	MUST(q != NULL);
	return q;
}

static void noted_free(struct progress *p, void *q)
{
	own_add(&p->freeing, 1);
	signal_fence();
	heap_free(q);
	signal_fence();
	own_add(&p->freed, 1);
}

/* What no later snapshot may fall short of. */
struct before {
	uint64_t mallocs, total_alloc, of[NREC];
};

static void check_monotone(struct before *b, const struct heapstats *h)
{
	MUST(h->mallocs >= b->mallocs);
	MUST(h->total_alloc >= b->total_alloc);
	for (unsigned r = 0; r < NREC; r++) {
		MUST(h->of[r].mallocs >= b->of[r]);
		b->of[r] = h->of[r].mallocs;
	}
	b->mallocs = h->mallocs;
	b->total_alloc = h->total_alloc;
}

static struct progress own;
static struct before seen;
static uint64_t steps, in_slow;

static void look(void)
{
	struct heapstats h;

	heapstats_read(&h);
	check_identities(&h);
	check_monotone(&seen, &h);
	MUST(h.mallocs >= own.finished && h.mallocs <= own.started);
	if (mcache_self->slow & 1) {
		in_slow++;
		return;
	}
	/* At most the object at hand is in no place, or in two. */
	MUST(h.frees + 1 >= own.freed && h.frees <= own.freeing + 1);
	steps++;
}

static void stepped(int sig UNUSED, siginfo_t *info UNUSED, void *uc UNUSED)
{
	look();
}

/* The trap flag: SIGTRAP after each instruction. */
static ALWAYS_INLINE void single_step(bool on)
{
	if (on)
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
				 "pushfq\n\t"
				 "orq $0x100, (%%rsp)\n\t"
				 "popfq\n\t"
				 "lea 128(%%rsp), %%rsp" ::
					 : "memory", "cc");
	else
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
				 "pushfq\n\t"
				 "andq $~0x100, (%%rsp)\n\t"
				 "popfq\n\t"
				 "lea 128(%%rsp), %%rsp" ::
					 : "memory", "cc");
}

static void step_through(void (*work)(void))
{
	struct sigaction sa = {.sa_sigaction = stepped,
		.sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGTRAP, &sa, NULL);
	single_step(true);
	work();
	single_step(false);
	look();
}

/* Magazines of a few sizes filled, emptied and enlarged. */
static void small_work(void)
{
	static const size_t sizes[] = {1, 5000};
	void *objs[9]; /* one more than the first magazine holds */

	for (size_t k = 0; k < NELEM(sizes); k++)
		for (int round = 0; round < 2; round++) {
			for (size_t i = 0; i < NELEM(objs); i++)
				objs[i] = noted_malloc(&own, sizes[k]);
			for (size_t i = 0; i < NELEM(objs); i++)
				noted_free(&own, objs[i]);
		}
}

/* Countdowns that run out. */
static void tick_work(void)
{
	static void *objs[300];

	single_step(false);
	for (size_t i = 0; i < 250; i++)
		objs[i] = noted_malloc(&own, 16);
	single_step(true);
	for (size_t i = 250; i < 260; i++)
		objs[i] = noted_malloc(&own, 16);
	tick_hurry(mcache_self);
	for (size_t i = 260; i < 270; i++)
		objs[i] = noted_malloc(&own, 16);
	single_step(false);
	for (size_t i = 0; i < 270; i++)
		noted_free(&own, objs[i]);
}

static void large_work(void)
{
	static const size_t pages[] = {5, 129};
	void *p[2];

	for (size_t k = 0; k < NELEM(pages); k++)
		for (int round = 0; round < 3; round++) {
			for (size_t i = 0; i < NELEM(p); i++)
				p[i] = noted_malloc(
					&own, pages[k] * PAGE_SIZE);
			for (size_t i = 0; i < NELEM(p); i++)
				noted_free(&own, p[i]);
		}
}

/* In place: moving bytes would be one step for each of them. */
static void resize_work(void)
{
	static const size_t pages[][4] = {{6, 9, 7, 5}, {135, 140, 131, 133}};

	for (size_t k = 0; k < NELEM(pages); k++) {
		void *p = noted_malloc(&own, pages[k][0] * PAGE_SIZE);

		for (size_t i = 1; i < NELEM(pages[k]); i++)
			MUST(heap_realloc(p, pages[k][i] * PAGE_SIZE) == p);
		noted_free(&own, p);
	}
}

static void other_work(void)
{
	static void *objs[20];

	for (size_t i = 0; i < NELEM(objs); i++)
		objs[i] = noted_malloc(&own, 64);
	for (size_t i = 0; i < NELEM(objs); i++)
		noted_free(&own, objs[i]);
	mcache_trim(mcache_self, 5000);
	mcache_flush(mcache_self);
	mcentral_settle();
	mheap_free_os_memory();
}

START_TEST(every_instruction)
{
	void (*work[])(void) = {
		small_work, tick_work, large_work, resize_work};

	if (SANITIZED) /* their code would be stepped through as well */
		return;
	step_through(work[_i]);
	ck_assert_uint_gt(steps, 400);
	ck_assert_uint_gt(in_slow, 400);
	ck_assert_uint_eq(own.finished, own.freed);
	ck_assert_uint_eq(seen.mallocs, own.finished);
	heap_check();
}
END_TEST

/* Outside of any malloc or free: moving between places is no free. */
START_TEST(every_instruction_of_flushes)
{
	if (SANITIZED)
		return;
	step_through(other_work);
	heap_check();
}
END_TEST

enum { THREADS = 8, POOL = 512 };
static struct progress progress[THREADS];
static struct count total;
static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;
static void *pool[POOL];
static bool stop;

static size_t some_size(struct rng *r)
{
	return rng_below(r, 32) ? rng_below(r, 900)
				: rng_log(r, 3 * MIB);
}

static void *allocator(void *arg)
{
	struct progress *p = &progress[(size_t)arg];
	struct rng r = rng_init((size_t)arg);
	struct count c = {0};

	while (!load_relaxed(&stop)) {
		void *q = NULL;

		if (rng_below(&r, 2)) {
			q = noted_malloc(p, some_size(&r));
			count_malloc(&c, q);
		}
		q = xchg_acq_rel(&pool[rng_below(&r, POOL)], q);
		if (q) {
			count_free(&c, q);
			noted_free(p, q);
		}
		/* Magazines of others come and go. */
		if (rng_below(&r, 2000) == 0)
			mcache_flush(mcache_self);
	}
	pthread_mutex_lock(&total_lock);
	count_add(&total, &c);
	pthread_mutex_unlock(&total_lock);
	return NULL;
}

static uint64_t sum(size_t offset)
{
	uint64_t n = 0;

	for (int i = 0; i < THREADS; i++)
		n += load_acquire(
			(uint64_t *)((char *)&progress[i] + offset));
	return n;
}

/* Each malloc that was over is in, none that had not begun. */
static void *observer(void *arg UNUSED)
{
	struct before b = {0};
	size_t n = scaled(5000);

	for (size_t i = 0; i < n; i++) {
		uint64_t over = sum(offsetof(struct progress, finished));
		struct heapstats h;

		heapstats_read(&h);
		check_identities(&h);
		check_monotone(&b, &h);
		MUST(h.mallocs >= over);
		MUST(h.mallocs <= sum(offsetof(struct progress, started)));
	}
	return NULL;
}

static void with_threads(void (*during)(pthread_t *))
{
	struct count c = {0};
	pthread_t t[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, allocator, (void *)i);
	during(t);
	store_relaxed(&stop, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	check_exact(&total);
	for (int i = 0; i < POOL; i++)
		if (pool[i])
			counted_free(&c, pool[i]);
	count_add(&total, &c);
	check_exact(&total);
	heap_check();
}

static void observe(pthread_t *t UNUSED)
{
	pthread_t two[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&two[i], NULL, observer, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(two[i], NULL);
}

START_TEST(from_other_threads)
{
	with_threads(observe);
}
END_TEST

static uint64_t interrupted;

/* On an allocating thread, in the middle of whatever it does. */
static void interrupt(int sig UNUSED)
{
	static __thread struct before b;
	struct heapstats h;

	heapstats_read(&h);
	check_identities(&h);
	check_monotone(&b, &h);
	add_relaxed(&interrupted, 1);
}

static void send_signals(pthread_t *t)
{
	struct sigaction sa = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
	size_t n = scaled(100);

	sigaction(SIGUSR2, &sa, NULL);
	for (size_t i = 0; i < n; i++) {
		uint64_t before = load_relaxed(&interrupted);

		pthread_kill(t[i % THREADS], SIGUSR2);
		while (load_relaxed(&interrupted) == before)
			sched_yield();
	}
}

START_TEST(from_handlers)
{
	with_threads(send_signals);
	ck_assert_uint_gt(interrupted, 0);
}
END_TEST

/* The identities of figures that no counter is for. */
START_TEST(nothing_yet)
{
	struct heapstats h, zero = {0};

	heapstats_read(&h);
	ck_assert_mem_eq(&h, &zero, sizeof(h));
	heap_free(heap_malloc(1));
	heapstats_read(&h);
	check_identities(&h);
	ck_assert_uint_eq(h.nthreads, 1);
	ck_assert_uint_eq(h.mcache_inuse, sizeof(struct mcache));
	ck_assert_uint_gt(h.mspan_inuse, 0);
	ck_assert_uint_le(h.mspan_inuse, sysmem_sys(SYS_MSPAN));
	ck_assert_uint_eq(h.of[1].mallocs, 1);
	ck_assert_uint_eq(h.of[1].frees, 1);
	ck_assert_uint_eq(h.of[1].cached, 4);
	ck_assert_uint_eq(h.of[1].nspans, 1);
	mheap_free_os_memory();
	heapstats_read(&h);
	ck_assert_uint_eq(h.idle, h.released);
	ck_assert_uint_eq(h.inuse, PAGE_SIZE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stats");
	TCase *tc = new_case(s, "stats");

	tcase_add_test(tc, nothing_yet);
	tcase_add_loop_test(tc, every_instruction, 0, 4);
	tcase_add_test(tc, every_instruction_of_flushes);
	tcase_add_test(tc, from_other_threads);
	tcase_add_test(tc, from_handlers);
	seed_init();
	return run_suite(s);
}
