/* SPDX-License-Identifier: MIT */
/*
 * lock: a ranked futex mutex.
 *
 * pthread_mutex_t would do, but it can be interposed by the program we live
 * in, and its robust-list handling touches thread state that does not exist
 * in raw clone children. errno is left alone: the futex call is made by hand.
 *
 *	0 --cas--> 1 --contended--> 2 --unlock--> 0, wake one
 *
 * Spinning: holders do at most a few microseconds of work, a futex sleep and
 * wake costs about 5; SPIN_MAX pauses (some 2 microseconds) avoid most sleeps
 * where another core runs the holder, and cost little where none does.
 *
 * A thread that waits may be brought to rest by the collector, one that holds
 * may not: stop_deferred is raised before the attempt and lowered for the time
 * of each sleep.
 *
 * Rejected: ticket and queue locks. Fairness is worthless here, and with more
 * threads than cores a queue hands the lock to threads that do not run.
 */
#include "base/lock.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "base/syscall.h"

#include <linux/futex.h>

enum { SPIN_MAX = 100 };

THREAD_LOCAL uint32_t stop_deferred;
uint32_t stop_wanted;
void (*stop_hook)(void);

static void futex(uint32_t *addr, int op, uint32_t val)
{
	sys4(SYS_futex, addr, op, val, NULL);
}

COLD void lock_slow(struct lock *l)
{
	for (int i = 0; i < SPIN_MAX; i++) {
		uint32_t free = 0;

		cpu_relax();
		/* acquire [lock]: pairs with the release in unlock(). */
		if (load_relaxed(&l->state) == 0 &&
			cas_acquire(&l->state, &free, 1))
			return;
	}
	/* acquire [lock]: pairs with the release in unlock(). */
	while (xchg_acquire(&l->state, 2) != 0) {
		permit_stop();
		futex(&l->state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2);
		defer_stop();
	}
}

COLD void lock_wake(struct lock *l)
{
	futex(&l->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
}

#ifdef GOSTAT_DEBUG
static THREAD_LOCAL uint32_t held; /* bit r: a lock of rank r is held */

void lockrank_push(const struct lock *l)
{
	/* Same rank twice is fork, which takes whole arrays in order. */
	INVARIANT((held >> (l->rank + 1)) == 0);
	held |= 1u << l->rank;
}

void lockrank_pop(const struct lock *l)
{
	held &= ~(1u << l->rank);
}
#endif
