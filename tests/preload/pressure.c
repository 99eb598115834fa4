/* SPDX-License-Identifier: MIT */
/*
 * A cache that gives way: it grows for ever under limits of 100 MiB, which it
 * hears of at 90 %. The process ends by main's pthread_exit.
 */
#include "check.h"

#include <errno.h>
#include <gostat.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, LIMIT = 100 * MIB, CACHE = 400 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *cache[CACHE];
static int ncache, calls;
static enum gostat_limit want;

static void shrink(const struct gostat_pressure *p, void *arg)
{
	CHECK(arg == cache);
	CHECK(p->kind == want && p->limit == LIMIT);
	CHECK(p->used >= LIMIT / 100 * 90 - MIB);
	/* The lock that the allocating thread holds. */
	pthread_mutex_lock(&lock);
	calls++;
	while (ncache)
		free(cache[--ncache]);
	pthread_mutex_unlock(&lock);
}

static void second(const struct gostat_pressure *p, void *arg)
{
	CHECK(p->limit == LIMIT);
	++*(int *)arg;
}

static void pause_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* Grow until somebody shrinks it; no allocation may fail. */
static void fill(void)
{
	int before = calls;

	for (;;) {
		pthread_mutex_lock(&lock);
		if (calls > before)
			break;
		if (ncache < 92) {
			cache[ncache] = malloc(MIB - 5000);
			CHECK(cache[ncache]);
			memset(cache[ncache++], 1, MIB - 5000);
		}
		pthread_mutex_unlock(&lock);
		pause_ms(ncache < 89 ? 0 : 50);
	}
	pthread_mutex_unlock(&lock);
}

int main(void)
{
	static int others;

	alarm(300);
	CHECK(gostat_available());
	CHECK(gostat_on_memory_pressure(NULL, NULL) == -1 && errno == EINVAL);
	CHECK(gostat_on_memory_pressure(shrink, cache) == 0);
	CHECK(gostat_on_memory_pressure(shrink, cache) == 0); /* no second time */
	CHECK(gostat_on_memory_pressure(second, &others) == 0);

	want = GOSTAT_LIMIT_MAXHEAP;
	CHECK(gostat_set_max_heap(LIMIT) == 0);
	for (int i = 0; i < 50; i++)
		free(malloc(MIB));
	CHECK(calls == 0);
	fill();
	CHECK(calls == 1);
	/* Far away again, then near again. */
	pause_ms(100);
	free(malloc(2 * MIB));
	fill();

	want = GOSTAT_LIMIT_MEMORY;
	gostat_set_max_heap(0);
	gostat_set_memory_limit(LIMIT);
	gostat_free_os_memory();
	pause_ms(1100);
	fill();
	while (*(volatile int *)&others < 3) /* comes after the first */
		pause_ms(10);
	puts("bye");
	fflush(stdout);
	pthread_exit(NULL);
}
