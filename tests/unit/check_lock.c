/* SPDX-License-Identifier: MIT */
#include "base/lock.h"
#include "base/atomics.h"
#include "support/random.h"
#include "support/run.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

enum { THREADS = 8, ROUNDS = 20000 };

static struct lock guard = LOCK_INIT(LOCK_MHEAP);
static uint64_t counter; /* plain: only the lock protects it */
static unsigned inside;
static uint64_t tries[THREADS];

static void critical(void)
{
	MUST_EQ(add_relaxed(&inside, 1), 0);
	counter++;
	MUST_EQ(sub_relaxed(&inside, 1), 1);
}

static void *contender(void *arg)
{
	size_t id = (size_t)arg, rounds = scaled(ROUNDS);

	errno = 77;
	for (size_t i = 0; i < rounds; i++) {
		if (i % 8 == 0 && trylock(&guard)) {
			tries[id]++;
			critical();
			unlock(&guard);
		}
		lock(&guard);
		critical();
		/* Now and then long enough for the others to fall asleep. */
		if (i % 512 == id)
			sched_yield();
		unlock(&guard);
	}
	MUST_EQ(errno, 77);
	return NULL;
}

START_TEST(one_at_a_time)
{
	pthread_t threads[THREADS];
	uint64_t want = THREADS * scaled(ROUNDS);

	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, contender, (void *)i);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < THREADS; i++)
		want += tries[i];
	ck_assert_uint_eq(counter, want);
	ck_assert_uint_eq(guard.state, 0);
}
END_TEST

START_TEST(trylock_says_no)
{
	lock(&guard);
	ck_assert(!trylock(&guard));
	ck_assert(!trylock(&guard));
	unlock(&guard);
	ck_assert(trylock(&guard));
	unlock(&guard);
	ck_assert_uint_eq(guard.state, 0);
}
END_TEST

static void *sleeper(void *arg UNUSED)
{
	lock(&guard);
	counter++;
	unlock(&guard);
	return NULL;
}

/* Waiters that sleep in the kernel are all woken, one after the other. */
START_TEST(sleepers_wake)
{
	pthread_t threads[THREADS];

	lock(&guard);
	for (size_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, sleeper, NULL);
	while (load_relaxed(&guard.state) != 2)
		sched_yield();
	ck_assert_uint_eq(counter, 0);
	unlock(&guard);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(counter, THREADS);
	/* The last one may have been told of a waiter that is not there. */
	ck_assert_uint_eq(guard.state, 0);
}
END_TEST

static bool reinit(void *arg UNUSED)
{
	lock_reinit(&guard);
	lock(&guard);
	unlock(&guard);
	return guard.state == 0;
}

START_TEST(child_of_fork)
{
	lock(&guard);
	guard.state = 2; /* somebody waits in the parent */
	in_child(reinit, NULL);
	unlock(&guard);
}
END_TEST

/* Any two locks in the order of their ranks, or two of the same rank. */
START_TEST(ranks_in_order)
{
	for (uint32_t a = LOCK_GC; a <= LOCK_SYSMEM; a++)
		for (uint32_t b = a; b <= LOCK_SYSMEM; b++) {
			struct lock outer = LOCK_INIT(a), inner = LOCK_INIT(b);

			lock(&outer);
			lock(&inner);
			unlock(&inner);
			unlock(&outer);
			/* Released, so nothing is out of order here. */
			lock(&inner);
			unlock(&inner);
		}
}
END_TEST

#ifdef GOSTAT_DEBUG
static void out_of_order(void *arg)
{
	uint32_t *ranks = arg;
	struct lock outer = LOCK_INIT(ranks[0]), inner = LOCK_INIT(ranks[1]);

	lock(&outer);
	lock(&inner);
}

START_TEST(ranks_out_of_order)
{
	for (uint32_t a = LOCK_GC + 1; a <= LOCK_SYSMEM; a++)
		for (uint32_t b = LOCK_GC; b < a; b++) {
			uint32_t ranks[] = {a, b};

			expect_abort(out_of_order, ranks, "internal error");
		}
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("lock");
	TCase *tc = new_case(s, "lock");

	tcase_add_test(tc, one_at_a_time);
	tcase_add_test(tc, trylock_says_no);
	tcase_add_test(tc, sleepers_wake);
	tcase_add_test(tc, child_of_fork);
	tcase_add_test(tc, ranks_in_order);
#ifdef GOSTAT_DEBUG
	tcase_add_test(tc, ranks_out_of_order);
#endif
	seed_init();
	return run_suite(s);
}
