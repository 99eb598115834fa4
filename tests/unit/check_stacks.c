/* SPDX-License-Identifier: MIT */
#include "observe/stacks.h"
#include "alloc/heap.h"
#include "os/procmaps.h"
#include "support/asleep.h"
#include "support/sanitizer.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 256 << 10, DEEP = 100 << 10, PAGE = 4096 };

static pthread_barrier_t all_up;
/* An int: gcc 12 reads a volatile bool only once under -fsanitize=bool. */
static volatile int stop;
static int block[2]; /* a pipe that nobody writes to until the end */

static void wait_here(void)
{
	char c;

	pthread_barrier_wait(&all_up);
	if (read(block[0], &c, 1) < 0)
		abort();
}

static void *shallow(void *arg UNUSED)
{
	wait_here();
	return NULL;
}

static void *deep(void *arg UNUSED)
{
	volatile char a[DEEP];

	for (size_t i = 0; i < sizeof(a); i += 512)
		a[i] = 1;
	wait_here();
	return (void *)(uintptr_t)a[512];
}

/* Touches as much as deep(), returns from it and keeps a CPU busy. */
static NOINLINE void touch(void)
{
	volatile char a[DEEP];

	for (size_t i = 0; i < sizeof(a); i += 512)
		a[i] = 1;
}

static void *busy(void *arg UNUSED)
{
	touch();
	pthread_barrier_wait(&all_up);
	while (!stop)
		;
	return NULL;
}

static pthread_t threads[1000];
static unsigned nthreads;

static void start(void *(*fn)(void *), pthread_attr_t *attr)
{
	ck_assert_int_eq(pthread_create(&threads[nthreads], attr, fn, NULL), 0);
	nthreads++;
}

static void join_all(void)
{
	stop = true;
	close(block[1]);
	while (nthreads)
		pthread_join(threads[--nthreads], NULL);
}

struct reading {
	uint64_t inuse, sys;
	unsigned n;
};

static struct reading get(void)
{
	struct reading r;

	errno = 77;
	stacks_read(&r.inuse, &r.sys, &r.n);
	ck_assert_int_eq(errno, 77);
	ck_assert_uint_le(r.inuse, r.sys);
	return r;
}

/* Some versions of libc take the guard page from the size, some add it. */
static void expect_sys(uint64_t sys, unsigned n, size_t size)
{
	ck_assert_uint_le(sys, n * size);
	ck_assert_uint_ge(sys, n * (size - PAGE));
}

static size_t main_stack(void)
{
	static char buf[4096];
	struct procmaps m;
	struct procmap v;
	size_t size = 0;

	ck_assert(procmaps_open(&m, buf, sizeof(buf)));
	while (procmaps_next(&m, &v))
		if (!strcmp(v.path, "[stack]"))
			size = v.hi - v.lo;
	procmaps_close(&m);
	return size;
}

static void setup(void)
{
	ck_assert_int_eq(pipe(block), 0);
}

START_TEST(test_first_thread)
{
	struct reading r = get(), d;
	char *fill;

	ck_assert_uint_eq(r.n, 1);
	ck_assert_uint_eq(r.sys, main_stack());
	ck_assert_uint_gt(r.inuse, 1000);
	fill = __builtin_alloca(50000);
	memset(fill, 1, 50000);
	d = get();
	ck_assert_uint_ge(d.inuse, r.inuse + 50000);
	ck_assert_uint_le(d.inuse, r.inuse + 60000);
	ck_assert_int_eq(fill[7], 1);
}
END_TEST

START_TEST(test_depths)
{
	struct reading r, one = get();
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_barrier_init(&all_up, NULL, 9);
	for (int i = 0; i < 4; i++) {
		start(shallow, &attr);
		start(deep, &attr);
	}
	pthread_barrier_wait(&all_up);
	await_others();
	r = get();
	ck_assert_uint_eq(r.n, 9);
	expect_sys(r.sys - one.sys, 8, STACK);
	ck_assert_uint_ge(r.inuse - one.inuse, 4 * DEEP);
	ck_assert_uint_le(r.inuse - one.inuse, 4 * DEEP + 8 * 2 * PAGE);
	join_all();
	ck_assert_uint_eq(get().sys, one.sys);
}
END_TEST

/* What is running right now counts what it has touched. */
START_TEST(test_busy)
{
	struct reading r, one = get();
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_barrier_init(&all_up, NULL, 4);
	for (int i = 0; i < 3; i++)
		start(busy, &attr);
	pthread_barrier_wait(&all_up);
	r = get();
	ck_assert_uint_eq(r.n, 4);
	expect_sys(r.sys - one.sys, 3, STACK);
	ck_assert_uint_ge(r.inuse - one.inuse, 3 * DEEP);
	ck_assert_uint_le(r.inuse - one.inuse, 3 * (DEEP + 4 * PAGE));
	join_all();
}
END_TEST

/* Without guards the kernel merges neighbours into one mapping. */
START_TEST(test_merged)
{
	struct reading r, one = get();
	pthread_attr_t attr;
	char *p = mmap(NULL, 8 * STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	pthread_attr_init(&attr);
	pthread_barrier_init(&all_up, NULL, 9);
	for (int i = 0; i < 8; i++) {
		pthread_attr_setstack(&attr, p + i * STACK, STACK);
		start(i % 2 ? deep : shallow, &attr);
	}
	pthread_barrier_wait(&all_up);
	await_others();
	r = get();
	/* What lies below may have been merged with them, too. */
	ck_assert_uint_ge(r.sys - one.sys, 8 * STACK);
	ck_assert_uint_le(r.inuse - one.inuse, 4 * DEEP + 8 * 2 * PAGE);
	ck_assert_uint_ge(r.inuse - one.inuse, 4 * DEEP);
	join_all();
}
END_TEST

/* Such a stack is in HeapSys already. */
START_TEST(test_in_our_heap)
{
	struct reading r, one = get();
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, heap_memalign(PAGE, STACK), STACK);
	pthread_barrier_init(&all_up, NULL, 2);
	start(deep, &attr);
	pthread_barrier_wait(&all_up);
	r = get();
	ck_assert_uint_eq(r.n, 2);
	ck_assert_uint_eq(r.sys, one.sys);
	join_all();
}
END_TEST

START_TEST(test_thousand)
{
	struct reading r, one = get();
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 8 * PAGE);
	pthread_barrier_init(&all_up, NULL, 1000);
	for (int i = 0; i < 999; i++)
		start(shallow, &attr);
	pthread_barrier_wait(&all_up);
	r = get();
	ck_assert_uint_eq(r.n, 1000);
	expect_sys(r.sys - one.sys, 999, 8 * PAGE);
	join_all();
}
END_TEST

static struct reading in_handler;

static void on_signal(int signo UNUSED)
{
	in_handler = get();
}

/* On a signal stack, the thread's own stack is still the one that counts. */
START_TEST(test_signal_stack)
{
	static char ss_mem[64 << 10];
	stack_t ss = {.ss_sp = ss_mem, .ss_size = sizeof(ss_mem)};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	struct reading r = get();

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	ck_assert_uint_eq(in_handler.sys, r.sys);
	ck_assert_uint_ge(in_handler.inuse, r.inuse);
	stacks_moved((uintptr_t)__builtin_frame_address(0));
	raise(SIGUSR1);
	ck_assert_uint_le(in_handler.inuse, r.inuse + PAGE);
	stacks_moved(0);
}
END_TEST

START_TEST(test_nothing_to_ask)
{
	struct rlimit all, none;
	struct reading r;

	getrlimit(RLIMIT_NOFILE, &all);
	none = (struct rlimit){0, all.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	r = get();
	ck_assert_uint_eq(r.inuse, 0);
	ck_assert_uint_eq(r.sys, 0);
	ck_assert_uint_eq(r.n, 0);
	setrlimit(RLIMIT_NOFILE, &all);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stacks");
	TCase *tc = tcase_create("stacks");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_nothing_to_ask);
	if (!SANITIZED) {
		tcase_add_test(tc, test_first_thread);
		tcase_add_test(tc, test_depths);
		tcase_add_test(tc, test_busy);
		tcase_add_test(tc, test_merged);
		tcase_add_test(tc, test_in_our_heap);
		tcase_add_test(tc, test_thousand);
		tcase_add_test(tc, test_signal_stack);
	}
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
