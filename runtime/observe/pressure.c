/* SPDX-License-Identifier: MIT */
/*
 * pressure: the program is told that memory is becoming scarce.
 *
 *	allocation ─▶ limits.c ─▶ brink.c ─▶ note ─▶ finalthread ─▶ fn(state, arg)
 *	helper, now and then ──────┘
 *
 * A cache knows what it can do without, the allocator does not. So from 90 % of
 * the nearest limit on, before the dump on the brink (95 %), the functions that
 * the program has registered are called: once when that is reached, and again
 * every PERIOD_MS while it lasts.
 *
 * They are called on the thread of the finalizers, not where the heap grows:
 * there the program may hold the very locks that they need.
 *
 * Invariants:
 *   I1  of[0] to of[n - 1] are complete and never change.
 *
 * Locks: none. Registering takes a slot by compare and swap; what note leaves
 * for the other thread is guarded by pending, which only one of the two can see
 * as it expects it.
 */
#include "alloc/scavenge.h"
#include "base/atomics.h"
#include "gostat.h"
#include "observe/background.h"
#include "observe/brink.h"
#include "observe/finalthread.h"

#include <errno.h>
#include <sched.h>

enum {
	MAX_CALLBACKS = 32,
	NEAR_PERCENT = 90,
	PERIOD_MS = 1000,
};

static struct {
	struct callback {
		void (*fn)(const struct gostat_pressure *, void *);
		void *arg;
	} of[MAX_CALLBACKS];
	unsigned n;
	bool registering;
	bool pending; /* state waits to be told */
	struct gostat_pressure state;
	uint64_t told_ms; /* 0: it was not near at the last look */
} pressure;

/* Looks come one at a time (brink.c). */
static void note(const struct limits_state *s)
{
	static const enum gostat_limit kinds[] = {
		[LIMIT_MEMORY] = GOSTAT_LIMIT_MEMORY,
		[LIMIT_MAXHEAP] = GOSTAT_LIMIT_MAXHEAP,
		[LIMIT_CGROUP] = GOSTAT_LIMIT_CGROUP,
	};
	uint64_t now = scavenge_now_ms() | 1;

	if (s->used / NEAR_PERCENT < s->limit / 100) {
		pressure.told_ms = 0;
		return;
	}
	if (pressure.told_ms && now - pressure.told_ms < PERIOD_MS)
		return;
	/* acquire [pending]: the other thread has read the state before. */
	if (load_acquire(&pressure.pending))
		return;
	pressure.told_ms = now;
	pressure.state = (struct gostat_pressure){
		.kind = kinds[s->kind], .limit = s->limit, .used = s->used};
	/* release [pending]: publishes state. */
	store_release(&pressure.pending, true);
	finalthread_wake();
}

/* On the thread of the finalizers, whatever it was woken for. */
static void tell(void)
{
	struct gostat_pressure state;
	unsigned n;

	/* acquire [pending]: pairs with note(). */
	if (!load_acquire(&pressure.pending))
		return;
	state = pressure.state;
	/* release [pending]: state has been read. */
	store_release(&pressure.pending, false);
	/* acquire [callbacks]: pairs with the release where n grows. */
	n = load_acquire(&pressure.n);
	for (unsigned i = 0; i < n; i++)
		pressure.of[i].fn(&state, pressure.of[i].arg);
}

static bool add(void (*fn)(const struct gostat_pressure *, void *), void *arg)
{
	unsigned n = pressure.n;

	for (unsigned i = 0; i < n; i++)
		if (pressure.of[i].fn == fn && pressure.of[i].arg == arg)
			return true;
	if (n == MAX_CALLBACKS)
		return false;
	pressure.of[n] = (struct callback){fn, arg};
	/* release [callbacks]: publishes the new one. */
	store_release(&pressure.n, n + 1);
	return true;
}

int gostat_on_memory_pressure(
	void (*fn)(const struct gostat_pressure *, void *), void *arg)
{
	bool added;

	if (!fn) {
		errno = EINVAL;
		return -1;
	}
	/* acquire [registering]: what the one before has added. */
	while (xchg_acquire(&pressure.registering, true))
		sched_yield();
	added = add(fn, arg);
	/* release [registering]: for the next one. */
	store_release(&pressure.registering, false);
	if (!added) {
		errno = ENOMEM;
		return -1;
	}
	finalthread_also(tell);
	if (!finalthread_start()) {
		errno = EAGAIN;
		return -1;
	}
	brink_tell(note);
	background_start();
	return 0;
}
