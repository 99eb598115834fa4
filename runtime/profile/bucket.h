/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_BUCKET_H
#define GOSTAT_PROFILE_BUCKET_H

#include "base/atomics.h"
#include "base/attrs.h"

/*
 * What a heap profile knows of one (stack, size): the four figures of pprof,
 * never scaled. Buckets live for ever, so a pointer to one may be kept with
 * each sampled object. Everything here is lock-free and may run in a signal
 * handler.
 */
struct bucket {
	uint32_t stack; /* stacktab id */
	uint32_t next;	/* bucket.c: the next size of this stack */
	uint64_t size;	/* bytes an object, as given to bucket_get() */
	uint64_t allocs, frees, alloc_bytes, free_bytes;
};

/*
 * The bucket of a stack and an object size, made if need be. Sizes are meant
 * to be few for one stack (slot sizes, or 0 for all): they form a list, with a
 * shortcut to those that were asked for lately.
 *
 * Returns NULL for stack 0 and when there is no memory.
 */
struct bucket *bucket_get(uint32_t stack, uint64_t size);

/* Count n objects of bytes in all. */
static inline void bucket_allocated(
	struct bucket *b, uint64_t n, uint64_t bytes)
{
	/* relaxed: counters, read one by one. */
	add_relaxed(&b->allocs, n);
	add_relaxed(&b->alloc_bytes, bytes);
}

static inline void bucket_freed(struct bucket *b, uint64_t n, uint64_t bytes)
{
	add_relaxed(&b->frees, n);
	add_relaxed(&b->free_bytes, bytes);
}

/*
 * All buckets are bucket_at(0) to bucket_at(bucket_count() - 1). NULL stands
 * for one that another thread is about to make.
 */
size_t bucket_count(void);
struct bucket *bucket_at(size_t i);

#endif
