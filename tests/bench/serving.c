/* SPDX-License-Identifier: MIT */
/*
 * What serve.py asks questions:
 *	serving threads N	N threads that allocate all the time
 *	serving stacks N	an object from each of N different stacks
 *	serving idle 0		nothing
 * Says "ready", and ends when stdin does.
 */
#include "bench.h"

#include <pthread.h>
#include <unistd.h>

static bool over;

static void *allocate(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg + 1;
	void *kept[512] = {0};

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		void **p = &kept[bench_rand(&state) % 512];

		free(*p);
		*p = bench_must(malloc(bench_between(&state, 16, 2000)));
	}
	for (unsigned i = 0; i < 512; i++)
		free(kept[i]);
	return NULL;
}

/* One of two callers at each of 16 levels: a stack for each number. */
enum { LEVELS = 16 };

static void descend(unsigned n, int level);

/* Not a tail call, and not the same as the other. */
__attribute__((noinline)) static void zero(unsigned n, int level)
{
	descend(n, level);
	__asm__ volatile("# 0");
}

__attribute__((noinline)) static void one(unsigned n, int level)
{
	descend(n, level);
	__asm__ volatile("# 1");
}

__attribute__((noinline)) static void descend(unsigned n, int level)
{
	if (level == LEVELS)
		bench_use(bench_must(malloc(64 + n % 64 * 16)));
	else
		(n >> level & 1 ? one : zero)(n, level + 1);
	__asm__ volatile("");
}

static void wait_for_end(void)
{
	char c;

	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	pthread_t *threads = bench_must(calloc(n + 1, sizeof(*threads)));

	if (argc != 3)
		bench_fail("serving threads|stacks|idle N");
	if (!strcmp(argv[1], "stacks")) {
		for (unsigned i = 0; i < n; i++)
			descend(i, 0);
		n = 0;
	} else if (!strcmp(argv[1], "idle")) {
		n = 0;
	}
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, allocate,
			    (void *)(uintptr_t)i))
			bench_fail("no thread");
	wait_for_end();
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	return 0;
}
