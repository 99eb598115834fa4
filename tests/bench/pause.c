// SPDX-License-Identifier: MIT
/*
 * pause MIB THREADS CYCLES [hot MIB | idle]: what a cycle costs the program.
 *
 * Fills MIB mebibytes with linked blocks of 16 to 256 bytes, then runs cycles
 * with THREADS other threads: they write to their blocks all the time, or with
 * idle they sleep. Prints the pauses that MemStats tells, CPU time of the copy
 * for each object, and with hot what writing to so many mebibytes beside a
 * cycle costs more than without: the thread that writes (the pages that the
 * kernel has to copy), and the whole process with the cycle's own work.
 *
 * Under a library without cycles it says so and does nothing.
 */
#include "bench.h"

#include <gostat.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STRIDE = 4096, PASSES = 60, PAUSE_US = 10000, ROUNDS = 5 };

struct block {
	struct block *next, *other;
};

static struct block *first;
static size_t nblocks;
static char *hot;
static size_t hot_bytes;
static bool stop;

static uint64_t cpu_ns(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* A list, with a second pointer from each block to one of the last thousand. */
static void fill(size_t bytes)
{
	static struct block *recent[1024];
	uint64_t rng = 1;

	while (bytes > 256) {
		size_t size = bench_between(&rng, sizeof(struct block), 256);
		struct block *b = bench_must(malloc(size));

		memset(b, 0, size);
		b->next = first;
		b->other = recent[bench_rand(&rng) % 1024];
		recent[nblocks++ % 1024] = first = b;
		bytes -= size;
	}
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *work(void *arg)
{
	uint64_t rng = (uint64_t)(size_t)arg + 1;
	struct block *mine[256] = {0};

	while (!stopped()) {
		size_t i = bench_rand(&rng) % 256;

		free(mine[i]);
		mine[i] = bench_must(malloc(bench_between(&rng, 16, 256)));
		mine[i]->next = NULL;
	}
	for (size_t i = 0; i < 256; i++)
		free(mine[i]);
	return NULL;
}

static void *rest(void *arg)
{
	while (!stopped())
		usleep(50000);
	return arg;
}

/* Write to every page of the hot set, for longer than a cycle takes. */
static void write_hot(void)
{
	for (int pass = 0; pass < PASSES; pass++) {
		for (size_t i = 0; i < hot_bytes; i += STRIDE)
			((volatile char *)hot)[i]++;
		usleep(PAUSE_US);
	}
}

static void *cycle(void *unused)
{
	gostat_gc();
	return unused;
}

struct costs {
	uint64_t thread, process; /* CPU time, ns */
};

static struct costs costs_of_writing(bool beside)
{
	struct costs c;
	pthread_t t;

	c.thread = cpu_ns(RUSAGE_THREAD);
	c.process = cpu_ns(RUSAGE_SELF);
	if (beside)
		pthread_create(&t, NULL, cycle, NULL);
	write_hot();
	c.thread = cpu_ns(RUSAGE_THREAD) - c.thread;
	if (beside)
		pthread_join(t, NULL);
	c.process = cpu_ns(RUSAGE_SELF) - c.process;
	return c;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure_hot(void)
{
	uint64_t thread[ROUNDS] = {0}, process[ROUNDS] = {0};

	for (int i = 0; i < ROUNDS; i++) {
		struct costs alone = costs_of_writing(false);
		struct costs beside = costs_of_writing(true);

		if (beside.thread > alone.thread)
			thread[i] = beside.thread - alone.thread;
		if (beside.process > alone.process)
			process[i] = beside.process - alone.process;
	}
	qsort(thread, ROUNDS, sizeof(*thread), ascending);
	qsort(process, ROUNDS, sizeof(*process), ascending);
	printf("hot_extra_ms %.2f\n", (double)thread[ROUNDS / 2] / 1e6);
	printf("cycle_extra_ms %.2f\n", (double)process[ROUNDS / 2] / 1e6);
}

static void measure(size_t cycles)
{
	static struct gostat_memstats m;
	static uint64_t pause[256];
	uint64_t cpu = cpu_ns(RUSAGE_CHILDREN);

	for (size_t i = 0; i < cycles; i++) {
		gostat_gc();
		gostat_read_memstats(&m);
		pause[i] = m.PauseNs[(m.NumGC + 255) % 256];
		usleep(20000);
	}
	cpu = cpu_ns(RUSAGE_CHILDREN) - cpu;
	qsort(pause, cycles, sizeof(*pause), ascending);
	printf("cycles %u\n", (unsigned)m.NumGC);
	printf("pause_ms %.3f\n", (double)pause[cycles / 2] / 1e6);
	printf("pause_max_ms %.3f\n", (double)pause[cycles - 1] / 1e6);
	printf("ns_per_object %.1f\n",
		(double)cpu / (double)cycles / (double)nblocks);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 4 ? argv[4] : "";
	pthread_t *thread;
	size_t threads, cycles;

	if (argc < 4)
		bench_fail("usage: pause MIB THREADS CYCLES [hot MIB | idle]");
	threads = strtoul(argv[2], NULL, 10);
	cycles = strtoul(argv[3], NULL, 10);
	cycles = cycles < 1 ? 1 : cycles > 256 ? 256 : cycles;
	if (!gostat_available()) {
		printf("cycles 0\n");
		return 0;
	}
	if (!strcmp(mode, "hot") && argc > 5) {
		hot_bytes = strtoul(argv[5], NULL, 10) << 20;
		hot = memset(bench_must(malloc(hot_bytes)), 1, hot_bytes);
	}
	fill(strtoul(argv[1], NULL, 10) << 20);
	thread = bench_must(calloc(threads + 1, sizeof(*thread)));
	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL,
			    !strcmp(mode, "idle") ? rest : work, (void *)i))
			bench_fail("pthread_create");
	measure(cycles);
	if (hot)
		measure_hot();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
