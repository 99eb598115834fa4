/* SPDX-License-Identifier: MIT */
/*
 * interpose: the C names of the malloc family.
 *
 *	program --> malloc, free      hit path inlined: no call, no stack frame
 *	         |   miss --> tail call into alloc/heap.c
 *	        --> all other names   glibc 2.36's argument rules, then the heap
 *
 * Each body adds only what C and glibc promise and the heap does not know:
 * overflow of products and roundings, what an alignment may be, errno. The
 * heap never touches errno; its out_of_memory hook (init.c) sets ENOMEM, so no
 * caller here tests for NULL on the way out.
 *
 * Functions that inline a hit path are HOT: a stop of the world tells by the
 * program counter that a thread is between two of their stores.
 *
 * The __libc_ names are exported too. A program whose own malloc calls
 * __libc_malloc, but whose library calls plain free, must get all of its
 * memory from one heap. Libc's real free, which foreign.c needs, is found
 * with RTLD_NEXT and so is never one of these.
 *
 * Rejected: strdup and its like. Libc's call malloc through the PLT and so
 * land here. Rejected: testing the size that free_sized() is given; it would
 * cost every sized delete instructions, so only GOSTAT_HARDEN does.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

API HOT void *malloc(size_t size)
{
	return heap_malloc(size);
}

API HOT void free(void *p)
{
	heap_free(p);
}

API void *calloc(size_t n, size_t size)
{
	return heap_calloc(n, size);
}

API HOT void *realloc(void *p, size_t size)
{
	if (unlikely(!p))
		return heap_malloc(size);
	if (unlikely(size == 0)) { /* glibc frees; C23 leaves it undefined */
		heap_free(p);
		return NULL;
	}
	return heap_realloc(p, size);
}

API void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* glibc rounds an alignment up to a power of two and has a largest one. */
API void *memalign(size_t align, size_t size)
{
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (align & (align - 1))
		align = (size_t)1 << (64 - __builtin_clzl(align));
	return heap_memalign(align, size);
}

/* C11 would refuse more; glibc 2.36 does not. */
API void *aligned_alloc(size_t align, size_t size) SAME_AS(memalign);

/* It has its own way of saying why, and leaves errno alone. */
NOINLINE static int posix_memalign_slow(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p = heap_memalign_slow(align, size);

	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

API HOT int posix_memalign(void **out, size_t align, size_t size)
{
	void *p;

	if (align % sizeof(void *) || align == 0 || align & (align - 1))
		return EINVAL;
	p = heap_pop_aligned(align, size);
	if (unlikely(!p))
		return posix_memalign_slow(out, align, size);
	*out = p;
	return 0;
}

API void *valloc(size_t size)
{
	return heap_memalign(OS_PAGE, size);
}

/* Whole pages; at least one, so that the result of pvalloc(0) has an end. */
API void *pvalloc(size_t size)
{
	if (size > SIZE_MAX - OS_PAGE) {
		errno = ENOMEM;
		return NULL;
	}
	size = ALIGN_UP(MAX(size, (size_t)1), (size_t)OS_PAGE);
	return heap_memalign(OS_PAGE, size);
}

API size_t malloc_usable_size(void *p)
{
	return heap_usable_size(p);
}

/* In no header of glibc 2.36: gone there (cfree), or not yet there (C23). */
API void cfree(void *p) SAME_AS(free);
void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

API HOT void free_sized(void *p, size_t size)
{
	heap_free_sized(p, size);
}

API HOT void free_aligned_sized(
	void *p, size_t align UNUSED, size_t size)
{
	heap_free_sized(p, size);
}

API void *__libc_malloc(size_t size) SAME_AS(malloc);
API void __libc_free(void *p) SAME_AS(free);
API void *__libc_calloc(size_t n, size_t size) SAME_AS(calloc);
API void *__libc_realloc(void *p, size_t size) SAME_AS(realloc);
API void *__libc_memalign(size_t align, size_t size) SAME_AS(memalign);
API void *__libc_valloc(size_t size) SAME_AS(valloc);
API void *__libc_pvalloc(size_t size) SAME_AS(pvalloc);
