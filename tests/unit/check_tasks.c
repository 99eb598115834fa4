/* SPDX-License-Identifier: MIT */
#include "os/tasks.h"
#include "gostat.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 150 }; /* more than one buffer of entries */

/* ThreadSanitizer has threads too: one for each process that forked. */
#ifdef __SANITIZE_THREAD__
enum { OTHERS = 2 };
#else
enum { OTHERS = 0 };
#endif

static void must_count(unsigned n, unsigned want)
{
	ck_assert_uint_ge(n, want);
	ck_assert_uint_le(n, want + OTHERS);
}

static pthread_barrier_t all_up, all_done;
static pid_t tids[THREADS];

static void *sleeper(void *arg)
{
	*(pid_t *)arg = gettid();
	pthread_barrier_wait(&all_up);
	pthread_barrier_wait(&all_done);
	return NULL;
}

static bool seen(pid_t tid)
{
	struct tasks t;
	int next;
	bool found = false;

	ck_assert(tasks_open(&t));
	while ((next = tasks_next(&t)))
		found |= next == tid;
	tasks_close(&t);
	return found;
}

START_TEST(test_threads)
{
	pthread_t threads[THREADS];

	must_count(tasks_count(), 1);
	pthread_barrier_init(&all_up, NULL, THREADS + 1);
	pthread_barrier_init(&all_done, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, sleeper, &tids[i]);
	pthread_barrier_wait(&all_up);
	must_count(tasks_count(), THREADS + 1);
	must_count((unsigned)gostat_num_threads(), THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		ck_assert(seen(tids[i]));
	tasks_hide(tids[7]);
	must_count(tasks_count(), THREADS);
	ck_assert(!seen(tids[7]) && seen(getpid()));
	tasks_hide(0);
	ck_assert(seen(tids[7]));
	pthread_barrier_wait(&all_done);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/* Without /proc, or without a descriptor: one thread, no error. */
START_TEST(test_nothing_to_ask)
{
	struct rlimit had, none;
	struct tasks t;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &had), 0);
	none = had;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	errno = 77;
	ck_assert_uint_eq(tasks_count(), 1);
	ck_assert(!tasks_open(&t));
	ck_assert_int_eq(tasks_next(&t), 0);
	tasks_close(&t);
	ck_assert_int_eq(errno, 77);
	setrlimit(RLIMIT_NOFILE, &had); /* for LeakSanitizer's threads */
}
END_TEST

START_TEST(test_cpus)
{
	cpu_set_t set;
	int before;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	before = CPU_COUNT(&set);
	ck_assert_int_eq((int)cpus_usable(), before);
	for (int cpu = 0, kept = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && kept++)
			CPU_CLR(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	ck_assert_int_eq(gostat_num_cpu(), before);
}
END_TEST

static void *exits(void *arg UNUSED)
{
	gostat_goexit();
}

START_TEST(test_api)
{
	pthread_t thread;
	void *result = &thread;

	ck_assert(gostat_available());
	ck_assert_str_eq(gostat_goos(), "linux");
	ck_assert_str_eq(gostat_goarch(), "amd64");
	ck_assert_str_eq(gostat_version(), GOSTAT_VERSION);
	gostat_gosched();
	gostat_lock_os_thread();
	gostat_unlock_os_thread();
	gostat_keep_alive(&thread);
	pthread_create(&thread, NULL, exits, NULL);
	pthread_join(thread, &result);
	ck_assert_ptr_null(result);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tasks");
	TCase *tc = tcase_create("tasks");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_test(tc, test_threads);
	tcase_add_test(tc, test_nothing_to_ask);
	tcase_add_test(tc, test_cpus);
	tcase_add_test(tc, test_api);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
