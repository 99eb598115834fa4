/* SPDX-License-Identifier: MIT */
/*
 * mcache: one thread's magazines.
 *
 * Per size class, and per page count of large objects up to 1 MiB, a stack of
 * object pointers. malloc pops, free pushes: no lock, no atomic operation, no
 * look at who owns the span. A block freed by another thread simply travels
 * through that thread's magazine.
 *
 *	mcache_self --> rec[0]   top == limit: everything goes to the slow path
 *	                rec[c]   base -> |NULL|o|o|o| | |   <- top     limit
 *	                ...
 *	                small[]  request size / 8 -> rec, no class lookup
 *	                bump     memory for magazines; they double in place
 *
 * The bottom of each stack is NULL, so the popped value itself tells "empty";
 * absent magazines share one such bottom (none[]). A thread starts with
 * mcache_none, where every magazine is absent and every page code leads to a
 * full one, so the hit paths need no test for "first use".
 *
 * Counting: left is loaded with the number of mallocs until the next tick, so
 * loaded - left is the exact number of mallocs, and the same decrement triggers
 * ticks and heap-profile samples.
 *
 * Invariants, walked by mcache_check():
 *   M1  base <= top <= limit, base[0] == NULL, no NULL above it;
 *   M2  limit - base == cap; bump memory of one magazine overlaps no other;
 *   M3  an object in a magazine of record r is an object of r: its span's class
 *       is r (or its page count), and it is not free in its span.
 *
 * Locks: threads.lock (LOCK_THREADS) for the list of mcaches. The rest belongs
 * to the owning thread; snapshots read it with relaxed loads.
 *
 * Rejected: a free-bit cache per span as in Go, free lists as in mimalloc. Both
 * were prototyped; the magazine had the fewest instructions and returns the
 * object that is still in L1 (random replacement 3 ns a pair against 6).
 */
#include "alloc/mcache.h"
#include "alloc/arena.h"
#include "alloc/mcentral.h"
#include "alloc/peak.h"
#include "alloc/sampler.h"
#include "alloc/scavenge.h"
#include "alloc/tick.h"
#include "base/fatal.h"
#include "profile/callstack.h"
#include "os/sysmem.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

enum {
	/* Virtual; only what magazines use of it becomes resident. */
	MCACHE_BYTES = 160 << 10,
	/*
	 * A record at the page offset of its objects, as that of 1 KiB would
	 * be, makes the program's loads from them wait for stores to it, and
	 * they all want the same set of the first-level cache.
	 */
	SKEW = 64, /* bytes from the start of the page */
	RUN_BYTES = 4 << 20,  /* in one magazine of large objects */
	RUN_DEPTH = 16,	      /* objects in it */
	RUN_BUDGET_OWN = 1 << 20, /* in all magazines of one thread, always */
	RUN_BUDGET_MIN = 4 << 20, /* in those of all threads: the heap in */
	RUN_BUDGET_MAX = 32 << 20, /* use, but within these bounds */
	RECEDE_BYTES = 16 << 10, /* a magazine of small objects may keep */
	FIRST_BYTES = 32 << 10,	 /* in the first magazine of a class */
	TRIM_MS = 1000,
};

#define ABSENT(mc) {(mc).none, (mc).none, (mc).none, 0, 0}

struct mcache mcache_none = {
	.rec = {[0 ... NREC - 1] = ABSENT(mcache_none)},
	.small = {[0 ... SMALL_STEPS - 1] = &mcache_none.rec[0]},
};

THREAD_LOCAL struct mcache *mcache_self = &mcache_none;
static THREAD_LOCAL bool gone; /* our key destructor has run for good */

struct mcache *mcache_all;
size_t mcache_slack;
void (*mcache_thread_ends)(void);
static size_t run_caps; /* bytes: sum of run_caps over all mcaches */

static struct threads {
	struct lock lock;
	bool have_key;
	pthread_key_t key;
	struct mcache *free; /* without a thread */
} threads = {.lock = LOCK_INIT(LOCK_THREADS)};

static unsigned max_cap(unsigned r)
{
	size_t size = rec_bytes(r);

	if (r < NSIZECLASS)
		return (unsigned)MAX(MIN(MAG_BYTES / size, (size_t)MAG_MAX),
			(size_t)4);
	return (unsigned)MAX(MIN(RUN_BYTES / size, (size_t)RUN_DEPTH),
		(size_t)1);
}

static uint32_t align_mask(unsigned r)
{
	return r < NSIZECLASS ? sizeclasses[r].align - 1 : PAGE_SIZE - 1;
}

/*
 * A request of up to 8 * i bytes gets the class that holds it and, under
 * leakcheck and reclaim, one byte of slack, so that a pointer one past the
 * end lies inside the object.
 */
static void route(struct mcache *mc)
{
	for (unsigned i = 0; i < SMALL_STEPS; i++) {
		size_t size = 8 * i + mcache_slack;
		unsigned c = size <= SMALL_MAX ? class_by_8[(size + 7) / 8]
					       : class_by_128[(size + 127) / 128];

		mc->small[i] = &mc->rec[c];
	}
}

static void absent(struct mcache *mc, unsigned r)
{
	mc->rec[r].limit = mc->rec[r].base = mc->none;
	store_relaxed(&mc->rec[r].top, mc->none);
	mc->cold[r].cap = 0;
}

/* In zeroed memory of MCACHE_BYTES. */
static struct mcache *init(char *memory)
{
	struct mcache *mc = (void *)(memory + SKEW);

	for (unsigned r = 0; r < NREC; r++) {
		absent(mc, r);
		mc->rec[r].mask = r ? align_mask(r) : 0;
		mc->cold[r].sample_left = UINT64_MAX;
		mc->cold[r].settled = 1; /* of the first malloc */
	}
	route(mc);
	mc->bump = (char *)(mc + 1);
	mc->bump_end = memory + MCACHE_BYTES;
	mc->rng = (uintptr_t)mc * 0x9e3779b97f4a7c15 | 1;
	return mc;
}

void mcache_set_slack(size_t slack)
{
	mcache_slack = slack;
	/* acquire [mcaches]: pairs with the release that lists an mcache. */
	for (struct mcache *mc = load_acquire(&mcache_all); mc; mc = mc->next)
		route(mc);
}

static void thread_exit(void *arg);

/* One mcache without a thread, or a new one. */
static struct mcache *acquire(void)
{
	struct mcache *mc;
	char *memory;

	lock(&threads.lock);
	if (!threads.have_key)
		threads.have_key = !pthread_key_create(
			&threads.key, thread_exit);
	mc = threads.free;
	if (mc) {
		threads.free = mc->next_free;
	} else {
		memory = sysmem_map(NULL, MCACHE_BYTES, SYS_MCACHE);
		if (memory) {
			mc = init(memory);
			mc->next = mcache_all;
			/* release [mcaches]: pairs with walks of the list. */
			store_release(&mcache_all, mc);
		}
	}
	if (mc)
		store_relaxed(&mc->active, true);
	unlock(&threads.lock);
	return mc;
}

static void release(struct mcache *mc)
{
	mc->ignoring = 0; /* a thread's scopes end with it */
	store_relaxed(&mc->slow, mc->slow + 1);
	signal_fence();
	mcache_flush(mc);
	signal_fence();
	store_relaxed(&mc->slow, mc->slow + 1);
	if (mc->callstack)
		sampler_forget(mc);
	lock(&threads.lock);
	store_relaxed(&mc->active, false);
	mc->next_free = threads.free;
	threads.free = mc;
	unlock(&threads.lock);
}

/*
 * pthread key destructor. Others may still allocate and free, in this round
 * and the next ones; which round this is can't be known, since the first
 * allocation of the thread may have come from a destructor. So this is the
 * end: what comes later borrows an mcache for each malloc, and frees go to
 * their spans.
 */
static void thread_exit(void *arg)
{
	void (*hook)(void) = load_relaxed(&mcache_thread_ends);

	gone = true;
	mcache_self = &mcache_none;
	release(arg);
	if (hook)
		hook();
}

bool mcache_gone(void)
{
	return gone;
}

struct mcache *mcache_get(void)
{
	struct mcache *mc = mcache_self;

	if (likely(mc != &mcache_none))
		return mc;
	if (!mheap_init())
		return NULL;
	mc = acquire();
	if (!mc || gone)
		return mc;
	mcache_self = mc;
	if (threads.have_key)
		pthread_setspecific(threads.key, mc);
	return mc;
}

void mcache_put(struct mcache *mc)
{
	if (unlikely(mc != mcache_self))
		release(mc);
}

/* The capacity for record r has changed from old to new. */
static void account(struct mcache *mc, unsigned r, unsigned old, unsigned new)
{
	size_t bytes = ((size_t)new - old) * rec_bytes(r);

	if (r < NSIZECLASS)
		return;
	mc->run_caps += bytes;
	add_relaxed(&run_caps, bytes);
}

/* Give record r a magazine of cap objects, keeping what is in the old one. */
static bool set_cap(struct mcache *mc, unsigned r, unsigned cap)
{
	struct mcache_rec *rec = &mc->rec[r];
	struct mcache_cold *cold = &mc->cold[r];
	size_t bytes = (cap + 1) * sizeof(void *), depth = mcache_depth(rec);
	void **base = (void **)mc->bump;

	if (cap > cold->room && (size_t)(mc->bump_end - mc->bump) < bytes)
		return false;
	lock(&threads.lock); /* a fork finds all of it in step */
	if (cap > cold->room) {
		mc->bump += bytes;
		memcpy(base, rec->base, (depth + 1) * sizeof(void *));
		store_relaxed(&cold->held, (uint16_t)depth);
		signal_fence();
		own_add(&cold->moving, 1);
		signal_fence();
		store_relaxed(&rec->base, base);
		store_relaxed(&rec->top, base + depth);
		signal_fence();
		own_add(&cold->moving, 1);
		cold->room = (uint16_t)cap;
	}
	rec->limit = rec->base + cap;
	account(mc, r, cold->cap, cap);
	cold->cap = (uint16_t)cap;
	unlock(&threads.lock);
	return true;
}

static unsigned first_cap(unsigned r)
{
	size_t n = r < NSIZECLASS ? FIRST_BYTES / rec_bytes(r) : 1;

	return (unsigned)MIN(MAX(n, (size_t)1), (size_t)MAG_MIN);
}

static bool grow(struct mcache *mc, unsigned r)
{
	unsigned cap = mc->cold[r].cap, max = max_cap(r);

	if (cap >= max)
		return false;
	return set_cap(mc, r, MIN(cap ? 2 * cap : first_cap(r), max));
}

bool mcache_refill(struct mcache *mc, unsigned r)
{
	struct mcache_cold *cold = &mc->cold[r];

	mcache_recede(mc);
	cold->overflows = 0;
	/* The second miss in a row shows that the magazine is too small. */
	if (cold->cap == 0 || ++cold->misses >= 2)
		grow(mc, r);
	if (cold->cap == 0)
		return false;
	return mcentral_refill(r, &mc->rec[r], MAX(cold->cap / 2, 1)) > 0;
}

static void put_large(uintptr_t p)
{
	struct mspan *s = arena_span(p);

	/* Only objects get into the magazine: this one was there twice. */
	if (unlikely(!s || s->state != MSPAN_LARGE || s->base != p)) {
		mcentral_found_late = true;
		fatal("double free of %p (large object)", (void *)p);
	}
	mheap_free_span(s);
}

void mcache_drain(struct mcache *mc, unsigned r, size_t keep)
{
	struct mcache_rec *rec = &mc->rec[r];
	size_t depth = mcache_depth(rec);

	if (depth <= keep)
		return;
	if (r < NSIZECLASS) {
		mcentral_flush(r, rec, depth - keep);
		return;
	}
	for (; depth > keep; depth--) {
		uintptr_t p = (uintptr_t)*rec->top;

		store_relaxed(&rec->top, rec->top - 1);
		put_large(p);
	}
}

/*
 * What the magazines of large objects of all threads may hold: as much as the
 * heap in use, so that a program that turns over many large objects keeps them
 * at hand, and a small one does not grow by what it may never ask for again.
 * Each thread has a little for itself, whatever the others hold.
 */
static bool within_budget(const struct mcache *mc, size_t more)
{
	size_t heap = load_relaxed(&mheap.pages_inuse) << PAGE_SHIFT;
	size_t budget = MIN(MAX(heap, (size_t)RUN_BUDGET_MIN),
		(size_t)RUN_BUDGET_MAX);

	return mc->run_caps + more <= RUN_BUDGET_OWN ||
		load_relaxed(&run_caps) + more <= budget;
}

bool mcache_make_room(struct mcache *mc, unsigned r)
{
	struct mcache_cold *cold = &mc->cold[r];
	bool large = r >= NSIZECLASS;

	/*
	 * A large size is worth keeping once it was asked for twice; one that
	 * a growing buffer passes through is not.
	 */
	if (large && cold->misses < 2)
		return false;
	if (cold->cap == 0 || cold->misses || ++cold->overflows >= 2) {
		size_t more = MAX(cold->cap, 1) * rec_bytes(r);

		cold->misses = 0;
		if ((!large || within_budget(mc, more)) && grow(mc, r))
			return true;
	}
	if (large || cold->cap == 0)
		return false;
	/* Frees without mallocs: somebody else allocates. */
	if (cold->overflows >= 2)
		mcentral_hand_over(r, &mc->rec[r], cold->cap / 2);
	else
		mcache_drain(mc, r, cold->cap / 2);
	return true;
}

/* Nothing of record r is wanted at present. */
static void idle(struct mcache *mc, unsigned r)
{
	unsigned first = r < NSIZECLASS ? first_cap(r) : 0; /* of the budget */

	mcache_drain(mc, r, 0);
	if (mc->cold[r].cap > first)
		set_cap(mc, r, first);
}

void mcache_recede(struct mcache *mc)
{
	uint32_t peaks = load_relaxed(&peak.count);

	if (likely(mc->peaks == peaks))
		return;
	mc->peaks = peaks;
	for (unsigned r = 1; r < NREC; r++) {
		size_t depth = mcache_depth(&mc->rec[r]);

		if (r >= NSIZECLASS)
			idle(mc, r);
		else if (depth * rec_bytes(r) > RECEDE_BYTES)
			mcache_drain(mc, r, depth / 2);
	}
}

void mcache_flush(struct mcache *mc)
{
	for (unsigned r = 1; r < NREC; r++)
		idle(mc, r);
}

void mcache_trim(struct mcache *mc, uint64_t now_ms)
{
	/* A thread that slept: what it did before tells nothing. */
	bool slept = now_ms - mc->ticked_ms >= TRIM_MS;
	size_t before = load_relaxed(&mheap.pages_idle), after;

	if (now_ms - mc->trimmed_ms < TRIM_MS)
		return;
	mc->trimmed_ms = now_ms;
	for (unsigned r = 1; r < NREC; r++) {
		uint64_t n = mcache_mallocs(mc, r);

		if (slept || n == mc->cold[r].seen)
			idle(mc, r);
		mc->cold[r].seen = n;
	}
	mcentral_settle();
	after = load_relaxed(&mheap.pages_idle);
	scavenge_unneeded(after - MIN(before, after));
}

void mcache_prefork(void)
{
	lock(&threads.lock);
	mcentral_lock_all();
	lock(&mheap.lock);
}

void mcache_postfork_parent(void)
{
	unlock(&mheap.lock);
	mcentral_unlock_all();
	unlock(&threads.lock);
}

/*
 * The other threads do not exist here. What they had at hand stays in their
 * mcaches, which serve the child's own threads next.
 */
void mcache_postfork_child(void)
{
	callstack_postfork_child();
	lock_reinit(&mheap.lock);
	mcentral_reinit_locks();
	threads.free = NULL;
	for (struct mcache *mc = mcache_all; mc; mc = mc->next) {
		if (mc == mcache_self)
			continue;
		mc->active = false;
		mc->slow = 0;
		mc->ignoring = 0;
		tick_settle(mc);
		mc->callstack = NULL; /* may have been in use */
		mc->next_free = threads.free;
		threads.free = mc;
	}
	lock_reinit(&threads.lock);
}

static void check_object(unsigned r, uintptr_t p)
{
	struct mspan *s = arena_span(p);

	INVARIANT(s && !s->sampled);
	if (r >= NSIZECLASS) {
		INVARIANT(s->state == MSPAN_LARGE && s->base == p);
		INVARIANT(rec_of_run(s->npages) == r);
		return;
	}
	INVARIANT(s->state == MSPAN_SMALL && s->sizeclass == r);
	uint32_t i = mspan_index(s, p);

	INVARIANT(s->base + (uintptr_t)i * s->elemsize_small == p);
	INVARIANT(!mspan_isfree(s, i));
}

void mcache_check(void)
{
	for (struct mcache *mc = mcache_all; mc; mc = mc->next)
		for (unsigned r = 0; r < NREC; r++) {
			struct mcache_rec *rec = &mc->rec[r];

			INVARIANT(rec->base <= rec->top &&
				rec->top <= rec->limit && !rec->base[0]);
			INVARIANT(rec->limit == rec->base + mc->cold[r].cap);
			for (void **p = rec->base + 1; p <= rec->top; p++)
				check_object(r, (uintptr_t)*p);
		}
}
