/* SPDX-License-Identifier: MIT */
/* Stops while threads allocate, start and end, change their ids, fork. */
#include "alloc/heap.h"
#include "gc/stw_ways.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "support/random.h"
#include "support/stopworld.h"

static uint32_t quit;

/* Threads in the allocator: the heap is whole in every stop. */
static void *allocate(void *arg)
{
	struct rng r = rng_init((uintptr_t)arg);
	void *p[64] = {NULL};

	sem_post(&up);
	while (!load_relaxed(&quit)) {
		size_t k = rng_below(&r, NELEM(p));

		heap_free(p[k]);
		p[k] = heap_malloc(rng_log(&r, 4 << 20));
	}
	for (size_t k = 0; k < NELEM(p); k++)
		heap_free(p[k]);
	return NULL;
}

START_TEST(heap_is_whole)
{
	enum { N = 4 };
	pthread_t t[N];
	unsigned late = 0;

	park_enable();
	for (uintptr_t i = 0; i < N; i++) {
		start_thread(allocate, (void *)i, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(300); round++) {
		if (stw_stop(&w, LONG) != STW_OK) {
			late++;
			continue;
		}
		MUST_EQ(w.n, N);
		MUST_EQ(w.nrunning, 0);
		MUST_EQ(mheap.lock.state, 0);
		heap_check();
		stw_start(&w);
		usleep(rng_below(&(struct rng){round}, 200));
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(late, 0);
}
END_TEST

/* Threads that start and end all the time, each counting while it lives. */
static uint64_t steps[64];

static void *short_life(void *arg)
{
	for (int i = 0; i < 2000; i++)
		add_relaxed((uint64_t *)arg, 1);
	return NULL;
}

static void *breed(void *arg)
{
	sem_post(&up);
	while (!load_relaxed(&quit)) {
		pthread_t t[4];

		for (int i = 0; i < 4; i++)
			start_thread(short_life, arg, &t[i]);
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
	return NULL;
}

static uint64_t all_steps(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < NELEM(steps); i++)
		n += load_relaxed(&steps[i]);
	return n;
}

START_TEST(coming_and_going)
{
	enum { N = 4 };
	pthread_t t[N];

	for (uintptr_t i = 0; i < N; i++) {
		start_thread(breed, &steps[i * 8], &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(200); round++) {
		uint64_t before;

		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		before = all_steps();
		usleep(200);
		MUST_EQ(all_steps(), before);
		stw_start(&w);
		usleep(100);
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* setuid() uses the same signal; neither may lose the other's. */
static void *change_ids(void *arg UNUSED)
{
	sem_post(&up);
	while (!load_relaxed(&quit))
		MUST_EQ(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
	return NULL;
}

START_TEST(setuid_meanwhile)
{
	static struct sleeper s[4];
	pthread_t sleeping[4], t[2];

	park_enable();
	start_sleepers(s, sleeping, NELEM(s));
	for (int i = 0; i < 2; i++) {
		start_thread(change_ids, NULL, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(200); round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(50);
	}
	store_relaxed(&quit, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	/* setuid() interrupts poll(), as it does without us. */
	for (unsigned i = 0; i < NELEM(s); i++)
		pthread_join(sleeping[i], NULL);
}
END_TEST

/* Forks at any time: the child is never born stopped. */
static void *forks(void *arg UNUSED)
{
	sem_post(&up);
	while (!load_relaxed(&quit)) {
		struct pollfd none;
		int status;
		pid_t pid = fork();

		if (!pid) {
			parked_poll(&none, 0);
			_exit(stw_word & STW_STOPPING ? 1 : 0);
		}
		waitpid(pid, &status, 0);
		MUST_EQ(status, 0);
		/* One that libc, and so our handlers, are not told of. */
		pid = (pid_t)sys0(SYS_fork);
		if (!pid) {
			parked_poll(NULL, 0);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		MUST_EQ(status, 0);
	}
	return NULL;
}

START_TEST(fork_meanwhile)
{
	pthread_t t[2];

	park_enable();
	pthread_atfork(stw_prefork, stw_postfork_parent, stw_postfork_child);
	for (int i = 0; i < 2; i++) {
		start_thread(forks, NULL, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(300); round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(300);
	}
	store_relaxed(&quit, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static bool stop_in_child(void *arg UNUSED)
{
	bool ok;

	/* Alone, with one parked record: our own, which runs. */
	parked_poll(NULL, 0);
	ok = stw_stop(&w, LONG) == STW_OK && w.n == 0;
	stw_start(&w);
	return ok && park_self->tid == gettid();
}

START_TEST(child_stops_too)
{
	static struct sleeper s[2];
	pthread_t t[2];

	park_enable();
	pthread_atfork(stw_prefork, stw_postfork_parent, stw_postfork_child);
	start_sleepers(s, t, NELEM(s));
	parked_poll(NULL, 0);
	in_child(stop_in_child, NULL);
	end_sleepers(s, t, NELEM(s));
}
END_TEST

/* More threads than fit the first chunk of entries; records are reused. */
START_TEST(many)
{
	enum { N = 300 };
	static struct sleeper s[N];
	static pthread_t t[N];
	uint64_t sys;

	park_enable();
	for (int round = 0; round < 3; round++) {
		start_sleepers(s, t, N);
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.n, N);
		MUST_EQ(w.nparked, N);
		for (unsigned i = 0; i < N; i++)
			MUST(holds(entry_of(s[i].tid), s[i].word, 512));
		stw_start(&w);
		end_sleepers(s, t, N);
		if (round == 0)
			sys = sysmem_sys(SYS_GC);
		else
			MUST_EQ(sysmem_sys(SYS_GC), sys);
	}
}
END_TEST

START_TEST(no_memory)
{
	sysmem_fail_after = 0;
	start_thread(breed, steps, NULL);
	sem_wait(&up);
	ck_assert_int_eq(stw_stop(&w, LONG), STW_NO_MEMORY);
	ck_assert_uint_eq(stw_word & STW_STOPPING, 0);
	sysmem_fail_after = -1;
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	stw_start(&w);
}
END_TEST

/* A case for each, so that CK_RUN_CASE can pick one. */
#define ADD(test) tcase_add_test(new_case(s, #test), test)

int main(void)
{
	Suite *s = suite_create("stw_meanwhile");

	seed_init();
	sem_init(&up, 0, 0);
	ADD(heap_is_whole);
	ADD(coming_and_going);
	ADD(setuid_meanwhile);
	ADD(fork_meanwhile);
	ADD(child_stops_too);
	ADD(many);
	ADD(no_memory);
	return run_suite(s);
}
