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
 * Invariants:
 *   I1  a bucket in a list has the list's stack, and no two have one size;
 *   I2  a bucket with stack == 0 is in no list: it is being made, or lost a
 *       race and stays empty.
 *
 * Locks: none. New buckets go in front by compare-and-swap; whoever loses
 * looks at the list again. A table by hash was not needed: a stack has a
 * handful of sizes, and sampled frees keep the pointer.
 */
#include "profile/bucket.h"
#include "os/sysmem.h"
#include "profile/stacktab.h"

enum {
	CHUNK_SHIFT = 12,
	CHUNK_BUCKETS = 1 << CHUNK_SHIFT, /* 192 KiB */
	NCHUNK = 1 << 12,		  /* 16 Mi buckets, 768 MiB */
};

static struct {
	uint32_t used; /* numbers handed out, 0 included */
	struct bucket *chunk[NCHUNK];
} buckets = {.used = 1};

static struct bucket *bucket_of(uint32_t number)
{
	struct bucket *chunk;

	/* acquire [bucket-chunk] */
	chunk = load_acquire(&buckets.chunk[number >> CHUNK_SHIFT]);
	return chunk ? &chunk[number & (CHUNK_BUCKETS - 1)] : NULL;
}

/* A fresh number whose bucket is mapped, or 0. */
static uint32_t take_number(void)
{
	size_t size = CHUNK_BUCKETS * sizeof(struct bucket);
	uint32_t old = load_relaxed(&buckets.used);

	do {
		struct bucket **chunk, *expected = NULL, *p;

		if (old >> CHUNK_SHIFT >= NCHUNK)
			return 0;
		chunk = &buckets.chunk[old >> CHUNK_SHIFT];
		/* acquire [bucket-chunk] */
		if (load_acquire(chunk))
			continue;
		p = sysmem_map(NULL, size, SYS_BUCKHASH);
		if (!p)
			return 0;
		/* release [bucket-chunk]: its buckets read as zero. */
		if (!cas_release(chunk, &expected, p))
			sysmem_unmap(p, size, SYS_BUCKHASH);
	} while (!cas_relaxed(&buckets.used, &old, old + 1));
	return old;
}

static struct bucket *find(uint32_t number, uint64_t size)
{
	while (number) {
		struct bucket *b = bucket_of(number);

		if (b->size == size)
			return b;
		number = b->next;
	}
	return NULL;
}

struct bucket *bucket_get(uint32_t stack, uint64_t size)
{
	uint32_t *list, first, number;
	struct bucket *b;

	if (!stack)
		return NULL;
	list = stacktab_bucket(stack);
	/* acquire [bucket]: the list is read below. */
	first = load_acquire(list);
	b = find(first, size);
	if (likely(b))
		return b;
	number = take_number();
	if (!number)
		return NULL;
	b = bucket_of(number);
	b->size = size;
	for (;;) {
		struct bucket *other = find(first, size);

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
	return b;
}

size_t bucket_count(void)
{
	return load_relaxed(&buckets.used) - 1;
}

struct bucket *bucket_at(size_t i)
{
	struct bucket *b = bucket_of((uint32_t)i + 1);

	/* acquire [bucket-stack] */
	return b && load_acquire(&b->stack) ? b : NULL;
}
