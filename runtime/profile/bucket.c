/* SPDX-License-Identifier: MIT */
/*
 * bucket: counters for each (stack, size) of a profile.
 *
 * Buckets lie in chunks and are numbered from 1; the block of a stack
 * (stacktab.c) holds the number of its first bucket, each bucket that of the
 * next one of the same stack.
 *
 *	stack 42 -> bucket 7 (48 bytes) -> bucket 3 (16 bytes) -> 0
 *
 * Most stacks have a handful of sizes. Where one allocates buffers of sixty
 * sizes, each sample of a list that long would cost a cache miss a bucket; so
 * recent[] remembers one bucket for each hash of stack and size.
 *
 * Invariants:
 *   I1  a bucket in a list has the list's stack, and no two have one size;
 *   I2  a bucket with stack == 0 is in no list: it is being made, or lost a
 *       race and stays empty;
 *   I3  recent[] holds numbers of buckets that were in a list once, and a
 *       bucket never leaves its list: a hint is checked, and then it is right.
 *
 * Locks: none. New buckets go in front by compare-and-swap; whoever loses
 * looks at the list again. Rejected: a table by hash in place of the lists (a
 * small one gets long chains where every allocation is recorded, a large one
 * touches a page for each bucket of a process that has few).
 */
#include "profile/bucket.h"
#include "os/sysmem.h"
#include "profile/stacktab.h"

enum {
	CHUNK_SHIFT = 12,
	CHUNK_BUCKETS = 1 << CHUNK_SHIFT, /* 192 KiB */
	NCHUNK = 1 << 12,		  /* 16 Mi buckets, 768 MiB */
	NRECENT = 1 << 10,		  /* one page */
};

static uint32_t buckets_used = 1; /* numbers handed out, 0 included */
static struct bucket *chunks[NCHUNK];

static uint32_t recent[NRECENT]; /* bucket numbers, or 0 */

static struct bucket *bucket_of(uint32_t number)
{
	struct bucket *chunk;

	/* acquire [bucket-chunk] */
	chunk = load_acquire(&chunks[number >> CHUNK_SHIFT]);
	return chunk ? &chunk[number & (CHUNK_BUCKETS - 1)] : NULL;
}

/* A fresh number whose bucket is mapped, or 0. */
static uint32_t take_number(void)
{
	size_t size = CHUNK_BUCKETS * sizeof(struct bucket);
	uint32_t old = load_relaxed(&buckets_used);

	do {
		struct bucket **chunk, *expected = NULL, *p;

		if (old >> CHUNK_SHIFT >= NCHUNK)
			return 0;
		chunk = &chunks[old >> CHUNK_SHIFT];
		/* acquire [bucket-chunk] */
		if (load_acquire(chunk))
			continue;
		p = sysmem_map(NULL, size, SYS_BUCKHASH);
		if (!p)
			return 0;
		/* release [bucket-chunk]: its buckets read as zero. */
		if (!cas_release(chunk, &expected, p))
			sysmem_unmap(p, size, SYS_BUCKHASH);
	} while (!cas_relaxed(&buckets_used, &old, old + 1));
	return old;
}

/* The one with this size, in the list that begins with number; or 0. */
static uint32_t find(uint32_t number, uint64_t size)
{
	while (number) {
		const struct bucket *b = bucket_of(number);

		if (b->size == size)
			break;
		number = b->next;
	}
	return number;
}

/* In the list of a stack, where it is put if need be; 0: no memory. */
static uint32_t find_or_add(uint32_t stack, uint64_t size)
{
	uint32_t *list = stacktab_bucket(stack), first, number, other;
	struct bucket *b;

	/* acquire [bucket]: the list is read below. */
	first = load_acquire(list);
	number = find(first, size);
	if (likely(number))
		return number;
	number = take_number();
	if (!number)
		return 0;
	b = bucket_of(number);
	b->size = size;
	for (;;) {
		other = find(first, size);
		if (other)
			return other;
		b->next = first;
		/* acq_rel [bucket]: publishes b; a loser reads the list. */
		if (__atomic_compare_exchange_n(list, &first, number, 0,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			break;
	}
	/* release [bucket-stack]: bucket_at() reads the rest of it. */
	store_release(&b->stack, stack);
	return number;
}

struct bucket *bucket_get(uint32_t stack, uint64_t size)
{
	uint64_t hash = (stack ^ size << 19) * 0x9e3779b97f4a7c15;
	uint32_t *hint = &recent[hash >> 54];
	uint32_t number = load_relaxed(hint);
	struct bucket *b;

	if (!stack)
		return NULL;
	if (likely(number)) {
		b = bucket_of(number);
		/* acquire [bucket-stack]: size was stored before. */
		if (likely(load_acquire(&b->stack) == stack && b->size == size))
			return b;
	}
	number = find_or_add(stack, size);
	store_relaxed(hint, number);
	return number ? bucket_of(number) : NULL;
}

size_t bucket_count(void)
{
	return load_relaxed(&buckets_used) - 1;
}

struct bucket *bucket_at(size_t i)
{
	struct bucket *b = bucket_of((uint32_t)i + 1);

	/* acquire [bucket-stack] */
	return b && load_acquire(&b->stack) ? b : NULL;
}
