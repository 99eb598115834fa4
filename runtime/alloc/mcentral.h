/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_MCENTRAL_H
#define GOSTAT_ALLOC_MCENTRAL_H

#include "alloc/mcache.h"
#include "base/lock.h"

struct mcentral {
	struct lock lock;
	struct mspan *head, *tail; /* partial: spans worth taking from */
	size_t nempty;		   /* of them without an object out */
	/* For snapshots, written under lock. */
	uint64_t nspans, npages, nslots; /* of all spans together */
	uint64_t out; /* slots not in spans: program, magazines, batches */
	uint64_t batched; /* of them in batches */
	struct batch *batch; /* MAX_BATCHES, once one was needed */
	size_t nbatches;
} CACHE_ALIGNED;

/* Objects on their way from a thread that only frees to one that only takes. */
enum { BATCH = MAG_MAX / 2, MAX_BATCHES = 16, MAX_BATCHED_BYTES = 256 << 10 };
struct batch {
	size_t n;
	void *obj[BATCH];
};

/* [0]: ordinary; [1]: spans whose objects the profile knows. */
extern struct mcentral mcentral[2][NSIZECLASS];

/*
 * Move up to want free slots of the class into the magazine, lowest address on
 * top. Returns the number moved: 0 when the kernel or a limit refuses.
 */
size_t mcentral_refill(unsigned sizeclass, struct mcache_rec *rec, size_t want);

/*
 * Move the n oldest objects of the magazine back to their spans. Aborts with
 * one line on an object that is free already or is no object.
 */
void mcentral_flush(unsigned sizeclass, struct mcache_rec *rec, size_t n);

/*
 * The same for a thread that frees what others allocate: the objects may stay
 * together, for a refill to take them as they are.
 */
void mcentral_hand_over(unsigned sizeclass, struct mcache_rec *rec, size_t n);

/* Objects in batches go back to their spans. Context: no lock held. */
void mcentral_settle(void);

/* One object of a sampled span; its span and slot. NULL: refused. */
void *mcentral_take_sampled(unsigned sizeclass, struct mspan **s,
	uint32_t *index);

/* An object that is in no magazine goes back to its span. */
void mcentral_put(struct mspan *s, uintptr_t p);

/*
 * For the collector's sweep of ordinary spans, between lock and unlock of their
 * class: objects whose bits are set go back to s, unless they lie there
 * already. Nothing of it may be in a magazine. Returns how many went; s may
 * be no span any more then.
 */
void mcentral_lock_class(unsigned sizeclass);
void mcentral_unlock_class(unsigned sizeclass);
size_t mcentral_put_bits(struct mspan *s, const uint64_t *bits);

/* Fork: all class locks, in order. */
void mcentral_lock_all(void);
void mcentral_unlock_all(void);
void mcentral_reinit_locks(void);

void mcentral_check(void);

/*
 * Last words on address p, which lies in span s but can't be freed or resized:
 * "free of 0x...: points 16 bytes into the object of 48 bytes at 0x...". what
 * is the call, "free" or "realloc".
 */
NORETURN void mcentral_bad_pointer(const char *what, const struct mspan *s,
	uintptr_t p);

/*
 * The wrong free that is about to be told of happened before: it was found when
 * a magazine was given back. The stack of now is not to blame.
 */
extern HIDDEN bool mcentral_found_late;

/* Last words on an object of so many bytes that was freed before. */
NORETURN void mcentral_freed_before(const char *what, uintptr_t p,
	size_t bytes);

#endif
