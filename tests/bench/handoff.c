// SPDX-License-Identifier: MIT
/*
 * handoff SIZE OBJECTS: one thread allocates, another frees.
 *
 * Blocks travel in batches of 64 through a ring of 256 batches. Every free is
 * of another thread's block and the freeing thread never allocates: what it
 * gathers must find its way back. A side that finds the ring empty (or full)
 * sleeps in the kernel until there is a quarter of the ring to do, so waiting
 * costs next to no CPU time, and the slower side, which sets the pace, never
 * sleeps at all. The two are bound to different CPUs, for the scheduler likes
 * to bring a woken thread to its waker's.
 *
 *	producer --head--> [ batch | batch | ... ] --tail--> consumer
 *
 * Orders: [head] and [tail] release what was written to the ring before and
 * acquire it on the other side. The sleeper announces itself and looks again,
 * the other side moves on and looks for sleepers, so these four are
 * sequentially consistent: one of the two must see the other.
 */
#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BATCH = 64, RING = 256, ENOUGH = RING / 4 };

static void *ring[RING][BATCH];
static _Atomic uint32_t head, tail; /* batches put in, batches taken out */
static _Atomic uint32_t producer_sleeps, consumer_sleeps;
static uint64_t batches;
static size_t size;

/* Sleep until wake() clears *flag, unless idle() has become false. */
static void doze(_Atomic uint32_t *flag, bool (*idle)(void))
{
	atomic_store(flag, 1);
	if (!idle()) {
		atomic_store(flag, 0);
		return;
	}
	while (atomic_load(flag))
		syscall(SYS_futex, flag, FUTEX_WAIT_PRIVATE, 1, NULL);
}

static void wake(_Atomic uint32_t *flag)
{
	if (atomic_load(flag) && atomic_exchange(flag, 0))
		syscall(SYS_futex, flag, FUTEX_WAKE_PRIVATE, 1);
}

/* Keep this thread on the n-th CPU that it may use, if there is one. */
static void stay_on(int n)
{
	cpu_set_t may, one;

	if (sched_getaffinity(0, sizeof(may), &may))
		return;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &may) && n-- == 0) {
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one);
		}
	}
}

/* Batches in the ring. */
static uint32_t waiting(void)
{
	return atomic_load(&head) - atomic_load(&tail);
}

static bool full(void)
{
	return waiting() == RING;
}

static bool empty(void)
{
	return waiting() == 0;
}

static void *produce(void *unused)
{
	(void)unused;
	stay_on(0);
	for (uint64_t b = 0; b < batches; b++) {
		while (full())
			doze(&producer_sleeps, full);
		for (size_t i = 0; i < BATCH; i++) {
			uint64_t *p = malloc(size);

			*p = b * BATCH + i;
			ring[b % RING][i] = p;
		}
		atomic_store(&head, (uint32_t)(b + 1)); /* [head] */
		if (waiting() >= ENOUGH || b + 1 == batches)
			wake(&consumer_sleeps);
	}
	return NULL;
}

static void *consume(void *sum)
{
	uint64_t *h = sum;

	stay_on(1);
	for (uint64_t b = 0; b < batches; b++) {
		while (empty())
			doze(&consumer_sleeps, empty);
		for (size_t i = 0; i < BATCH; i++) {
			uint64_t *p = ring[b % RING][i];

			if (*p != b * BATCH + i)
				bench_fail("two blocks overlap");
			*h += *p;
			free(p);
		}
		atomic_store(&tail, (uint32_t)(b + 1)); /* [tail] */
		if (RING - waiting() >= ENOUGH)
			wake(&producer_sleeps);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static uint64_t sum;
	pthread_t p, c;

	size = bench_number(argc > 1 ? argv[1] : NULL, "which size?");
	batches = bench_number(argc > 2 ? argv[2] : NULL, "objects?") / BATCH;
	if (pthread_create(&p, NULL, produce, NULL) ||
		pthread_create(&c, NULL, consume, &sum))
		bench_fail("no thread");
	pthread_join(p, NULL);
	pthread_join(c, NULL);
	bench_check(sum);
	return 0;
}
