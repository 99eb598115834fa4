/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_MCACHE_H
#define GOSTAT_ALLOC_MCACHE_H

#include "alloc/mheap.h"
#include "base/atomics.h"

/*
 * mcache: what one thread has at hand. See mcache.c for the picture.
 */
enum {
	MAG_MIN = 8,   /* first capacity of a magazine */
	MAG_MAX = 128, /* objects; batches of 128 at 1 KiB want it this deep */
	MAG_BYTES = 256 << 10, /* ... but no more than this in one magazine */
	SMALL_MAX = 1024,      /* largest request of the 8-byte-step table */
	SMALL_STEPS = SMALL_MAX / 8 + 1,
};

/*
 * The hot half of a class: four words, half a cache line.
 *
 *	base          top         limit
 *	 |NULL| o | o | o |   |   |   |
 *
 * top == limit == base where there is no magazine yet.
 */
struct mcache_rec {
	void **top;
	void **limit;
	void **base;
	int32_t left;  /* mallocs until the next tick; < 0 only inside one */
	uint32_t mask; /* address bits that are 0 in every object */
};

_Static_assert(sizeof(struct mcache_rec) == REC_SIZE, "page codes");

/* The other half, used by slow paths only. */
struct mcache_cold {
	uint64_t loaded;      /* mallocs so far + left, where left >= 0 */
	uint64_t settled;     /* mallocs so far, where left < 0 */
	uint64_t sample_left; /* mallocs until the next sample, after left */
	uint64_t seen;	      /* mallocs at the last trim */
	uint16_t cap;	      /* of the magazine */
	uint16_t room;	      /* what its memory could hold: cap <= room */
	uint16_t misses;      /* refills since the magazine last overflowed */
	uint16_t overflows;   /* since the last refill */
	uint16_t moving;      /* odd while base and top change, */
	uint16_t held;	      /* and this many objects move */
	uint32_t epoch;	      /* of the sample rate that sample_left is for */
	uint8_t shift;	      /* samples are thinned by 1 << shift; tick.c */
	uint16_t quick;	      /* samples in quick succession at this shift */
	double chance;	      /* of an object to be a sample, as -ln(1 - p) */
};

struct callstack;

struct mcache {
	struct mcache_rec rec[NREC]; /* first: page codes are offsets */
	struct mcache_rec *small[SMALL_STEPS]; /* by (size + 7) / 8 */
	void *none[2];		     /* the bottom of absent magazines */
	struct mcache_cold cold[NREC];

	struct mcache *next;	  /* of all, never unlinked */
	struct mcache *next_free; /* of those without a thread */
	bool active;		  /* has a thread */
	uint32_t ignoring;	  /* its objects are OBJINFO_IGNORED */
	uint32_t slow;		  /* odd while its owner is in a slow path */
	uint64_t trimmed_ms;	  /* last trim */
	uint32_t ticks;		  /* while every malloc ticks */
	uint64_t ticked_ms;	  /* last housekeeping; trim comes before */
	uint64_t hurried;	  /* scavenge window of the last hurry */
	uint32_t peaks;		  /* peak.count at the last recede */
	uint64_t rng;		  /* xorshift state, for sampling */
	uint64_t sampled_at;	  /* time-stamp counter at the last sample */
	struct callstack *callstack; /* of its last sample */
	char *bump, *bump_end;	  /* room for magazines */
	size_t run_caps;	  /* bytes that magazines of large objects hold */
};

/* This thread's mcache; mcache_none before first use and after exit. */
extern HIDDEN THREAD_LOCAL struct mcache *mcache_self;
extern HIDDEN struct mcache mcache_none;

/* All that ever were, newest first; safe to walk at any time. */
extern HIDDEN struct mcache *mcache_all;

/*
 * The hit path of malloc for up to SMALL_MAX bytes: an object, or NULL when a
 * slow path has to look (empty magazine, tick). A stop of the world must not
 * happen between the loads and the last store: see HOT.
 */
static ALWAYS_INLINE void *mcache_pop(struct mcache_rec *r)
{
	void **top = r->top;
	void *obj = *top;

	if (unlikely(!obj))
		return NULL;
	if (unlikely(hot_dec(&r->left) < 0))
		return NULL;
	hot_store(&r->top, top - 1);
	return obj;
}

/*
 * The hit path of free: true if done. False sends the caller to the slow path:
 * a full magazine, a page without a record, a double free, a pointer that can
 * be no object.
 */
static ALWAYS_INLINE bool mcache_push(struct mcache_rec *r, void *p)
{
	void **top = r->top;

	if (unlikely(top >= r->limit))
		return false;
	if (unlikely(*top == p))
		return false;
	if (unlikely((uint32_t)(uintptr_t)p & r->mask))
		return false;
	top[1] = p;
	hot_store(&r->top, top + 1);
	return true;
}

/* Objects in a magazine of one's own; see mcache_cached() for others. */
static ALWAYS_INLINE size_t mcache_depth(const struct mcache_rec *r)
{
	return (size_t)(load_relaxed(&r->top) - load_relaxed(&r->base));
}

/*
 * The calling thread's mcache, made on first use. Once the thread's key
 * destructors run (mcache_gone()) it is a borrowed one, to be returned with
 * mcache_put(). NULL: no memory.
 */
struct mcache *mcache_get(void);
void mcache_put(struct mcache *mc);
bool mcache_gone(void);

/* If set: called on a thread that has had an mcache and now ends. */
extern void (*mcache_thread_ends)(void);

/* Fill the empty magazine of record r; false: no memory. Small classes only. */
bool mcache_refill(struct mcache *mc, unsigned r);

/*
 * The magazine of r is full or absent. True: there is room for one more object
 * now. False: the object should go straight back to where it came from.
 */
bool mcache_make_room(struct mcache *mc, unsigned r);

/* Objects of record r go back until at most keep are left. */
void mcache_drain(struct mcache *mc, unsigned r, size_t keep);

/* All of them; the mcache stays usable. */
void mcache_flush(struct mcache *mc);

/*
 * A magazine is empty. If the heap has reached a new peak since the last time,
 * free objects in large magazines go back, lest it grow for want of them.
 */
void mcache_recede(struct mcache *mc);

/*
 * Once a second: return the magazines that were not used since the last call. */
void mcache_trim(struct mcache *mc, uint64_t now_ms);

/*
 * Number of mallocs of record r so far, whatever its owner is doing: see
 * set_left() in tick.c. Any thread, signal handlers included.
 */
static inline uint64_t mcache_mallocs(const struct mcache *mc, unsigned r)
{
	for (;;) {
		uint64_t loaded = load_relaxed(&mc->cold[r].loaded), settled;
		int32_t left;

		signal_fence();
		left = load_relaxed(&mc->rec[r].left);
		signal_fence();
		if (left >= 0) {
			if (loaded == load_relaxed(&mc->cold[r].loaded))
				return loaded - (uint64_t)left;
			continue;
		}
		settled = load_relaxed(&mc->cold[r].settled);
		signal_fence();
		if (load_relaxed(&mc->rec[r].left) < 0)
			return settled;
	}
}

/* Objects in the magazine of record r; from anywhere, like the above. */
static inline size_t mcache_cached(const struct mcache *mc, unsigned r)
{
	for (;;) {
		uint16_t moving = load_relaxed(&mc->cold[r].moving);
		size_t n;

		signal_fence();
		n = moving & 1 ? load_relaxed(&mc->cold[r].held)
			       : mcache_depth(&mc->rec[r]);
		signal_fence();
		if (moving == load_relaxed(&mc->cold[r].moving))
			return n;
	}
}

/* Fork: lock in the parent; the child adopts the other threads' caches. */
void mcache_prefork(void);
void mcache_postfork_parent(void);
void mcache_postfork_child(void);

/* At start: how magazines route requests (one byte of slack or none). */
void mcache_set_slack(size_t slack);
extern HIDDEN size_t mcache_slack;

void mcache_check(void);

#endif
