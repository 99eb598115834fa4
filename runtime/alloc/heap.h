/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_HEAP_H
#define GOSTAT_ALLOC_HEAP_H

#include "alloc/arena.h"
#include "alloc/mcache.h"

/*
 * heap: the front door. These functions have the contracts of their libc
 * namesakes, except that they never touch errno.
 */

/* Slow paths, reached by a tail call when the hit path returns nothing. */
void *heap_malloc_slow(size_t size);
void heap_free_slow(void *p);
void heap_free_sized_slow(void *p, size_t size);

void *heap_memalign_slow(size_t align, size_t size);

/* Requests above SMALL_MAX: a second, slightly longer hit path. */
void *heap_malloc_mid(size_t size);

/* The hit path of malloc for size <= SMALL_MAX; NULL: heap_malloc_slow(). */
static ALWAYS_INLINE void *heap_pop(size_t size)
{
	return mcache_pop(mcache_self->small[(size + 7) / 8]);
}

/* malloc: NULL when memory or a limit runs out. */
static ALWAYS_INLINE void *heap_malloc(size_t size)
{
	if (likely(size <= SMALL_MAX)) {
		void *p = heap_pop(size);

		return likely(p != NULL) ? p : heap_malloc_slow(size);
	}
	return heap_malloc_mid(size);
}

/*
 * The hit path of memalign, for what malloc does not align anyway. NULL:
 * heap_memalign_slow().
 */
static ALWAYS_INLINE void *heap_pop_aligned(size_t align, size_t size)
{
	unsigned c;

	if (unlikely(align <= 16 || size > MAX_SMALL))
		return NULL;
	c = sizeclass_for(align, size + mcache_slack);
	if (unlikely(c == NSIZECLASS))
		return NULL;
	return mcache_pop(&mcache_self->rec[c]);
}

/* The hit path of free; false: heap_free_slow(). */
static ALWAYS_INLINE bool heap_push(void *p)
{
	size_t page = arena_page((uintptr_t)p);
	struct mcache_rec *r;

	if (unlikely(page >= hot_load(&window_npages)))
		return false;
	r = (void *)((char *)mcache_self + window_code[page]);
	return mcache_push(r, p);
}

static ALWAYS_INLINE void heap_free(void *p)
{
	if (unlikely(!heap_push(p)))
		heap_free_slow(p);
}

/* free by a caller who says how many bytes were asked for. */
static ALWAYS_INLINE void heap_free_sized(void *p, size_t size)
{
	if (unlikely(!heap_push(p)))
		heap_free_sized_slow(p, size);
}

/* n * size bytes of zero; NULL also when the product overflows. */
void *heap_calloc(size_t n, size_t size);

/* realloc with p != NULL and size > 0; on failure p stays as it is. */
void *heap_realloc(void *p, size_t size);

/* align: a power of two. */
void *heap_memalign(size_t align, size_t size);

/*
 * What heap_usable_size() will say of heap_memalign(align, size) at least; align
 * 0 or 1: of heap_malloc(size), above 64 KiB by an eighth more at most. 0 where the request is too large for any machine.
 */
size_t heap_good_size(size_t align, size_t size);

/* Bytes that may be used at p; 0 if p is not an object of ours. */
size_t heap_usable_size(const void *p);

/* Is p an address in our heap (object or not)? */
static inline bool heap_owns(const void *p)
{
	return arena_page((uintptr_t)p) < load_relaxed(&window_npages) &&
		arenas[arena_page((uintptr_t)p) / ARENA_PAGES];
}

/*
 * Pointers that are not ours. The preload library hands them to the C library
 * or ends the process with a line; without hooks they are fatal.
 */
struct heap_hooks {
	void (*free_foreign)(void *p);
	void *(*realloc_foreign)(void *p, size_t size);
	size_t (*usable_foreign)(const void *p);
	/* A malloc is about to fail: dump on the brink. May be NULL. */
	void (*out_of_memory)(size_t size);
};
extern struct heap_hooks heap_hooks;

/* Take options into account; before the first allocation if possible. */
void heap_init(void);

void heap_check(void);

#endif
