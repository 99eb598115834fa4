/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_LOCK_H
#define GOSTAT_BASE_LOCK_H

#include "base/attrs.h"

/*
 * Ranks, outermost first (Go's lockrank.go). A thread may take a lock only if
 * every lock it holds has a smaller rank; debug builds check that. Two locks
 * of one rank are never held together, except by fork, which takes all of them
 * in index order.
 */
enum lockrank {
	LOCK_GC = 1,	/* gc.c: one cycle at a time */
	LOCK_GCRESULTS, /* gc.c: leaks that readers look at */
	LOCK_GCTABLES,	/* finalizer.c, leakscope.c: a cycle reads them */
	LOCK_STW,	/* stw.c: the world is stopped, or a fork under way */
	LOCK_TRACEFILE, /* tracefile.c */
	LOCK_TRACE,	/* trace.c: reading the ring */
	LOCK_HELPER,	/* helper.c: starting and stopping the helper thread */
	LOCK_DUMP,	/* dump.c: numbering of dumps */
	LOCK_PROFILE,	/* stacktab.c, sampler.c */
	LOCK_HARDEN,	/* harden.c: what is in quarantine */
	LOCK_THREADS,	/* mcache.c: list of all mcaches */
	LOCK_MCENTRAL,	/* mcentral.c: one for each size class */
	LOCK_MHEAP,	/* mheap.c: pages, spans, arenas */
	LOCK_FIXALLOC,	/* fixalloc.c: descriptors */
	LOCK_SYSMEM,	/* sysmem.c */
	LOCK_FDS,	/* helper.c: the library's own descriptors */
};

/* Futex mutex after Drepper: 0 free, 1 held, 2 held and somebody may wait. */
struct lock {
	uint32_t state;
	uint32_t rank; /* enum lockrank */
};

/* All zero where nobody looks at ranks: what holds a lock can be in .bss. */
#ifdef GOSTAT_DEBUG
#define LOCK_INIT(r) {.state = 0, .rank = (r)}
#else
#define LOCK_INIT(r) {.state = 0, .rank = 0}
#endif

void lock_slow(struct lock *l);
void lock_wake(struct lock *l);

/*
 * Not 0 while this thread holds one of these locks, or is between two steps
 * that belong together: the collector lets it go on until it is 0 before it
 * brings it to rest. So nobody at rest holds a lock, and what locks protect is
 * whole in a snapshot.
 */
extern HIDDEN THREAD_LOCAL uint32_t stop_deferred;

/* Set by the collector while it waits for such threads; they call the hook. */
extern HIDDEN uint32_t stop_wanted;
extern HIDDEN void (*stop_hook)(void);

/* seq_cst against a handler on the same thread: for the compiler only. */
static ALWAYS_INLINE void defer_stop(void)
{
	stop_deferred++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* seq_cst: as above. */
static ALWAYS_INLINE void permit_stop(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (--stop_deferred == 0 &&
		unlikely(__atomic_load_n(&stop_wanted, __ATOMIC_RELAXED)))
		stop_hook();
}

#ifdef GOSTAT_DEBUG
void lockrank_push(const struct lock *l);
void lockrank_pop(const struct lock *l);
#else
static inline void lockrank_push(const struct lock *l UNUSED) {}
static inline void lockrank_pop(const struct lock *l UNUSED) {}
#endif

static ALWAYS_INLINE void lock(struct lock *l)
{
	uint32_t free = 0;

	lockrank_push(l);
	defer_stop();
	/* acquire [lock]: pairs with the release in unlock(). */
	if (unlikely(!__atomic_compare_exchange_n(&l->state, &free, 1, 0,
		    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
		lock_slow(l);
}

static ALWAYS_INLINE bool trylock(struct lock *l)
{
	uint32_t free = 0;

	defer_stop();
	/* acquire [lock]: pairs with the release in unlock(). */
	if (!__atomic_compare_exchange_n(&l->state, &free, 1, 0,
		    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		permit_stop();
		return false;
	}
	lockrank_push(l);
	return true;
}

static ALWAYS_INLINE void unlock(struct lock *l)
{
	lockrank_pop(l);
	/* release [lock]: pairs with the acquire in lock() and trylock(). */
	if (unlikely(__atomic_exchange_n(&l->state, 0, __ATOMIC_RELEASE) == 2))
		lock_wake(l);
	permit_stop();
}

/* In the child of fork: the holder is this thread, waiters are gone. */
static inline void lock_reinit(struct lock *l)
{
	lockrank_pop(l);
	l->state = 0;
	permit_stop();
}

#endif
