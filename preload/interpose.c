/* SPDX-License-Identifier: MIT */
/*
 * interpose: the C names of the malloc family.
 *
 * Each body only adds what C promises and the heap does not know: errno,
 * overflow of products, alignment rules. Hit paths are inlined and return
 * without a call; whatever is rare is a tail call into the heap.
 *
 * The oom hook of the heap sets errno, so no caller here has to test for NULL
 * on the way out.
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

API void *realloc(void *p, size_t size)
{
	if (!p)
		return heap_malloc(size);
	if (size == 0) { /* glibc frees; C23 leaves it undefined */
		heap_free(p);
		return NULL;
	}
	return heap_realloc(p, size);
}

API void *memalign(size_t align, size_t size)
{
	/* glibc rounds odd alignments up to a power of two. */
	if (align & (align - 1))
		align = (size_t)1 << (64 - __builtin_clzl(align));
	return heap_memalign(align, size);
}

API int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (align % sizeof(void *) || align == 0 || align & (align - 1))
		return EINVAL;
	p = heap_memalign(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

API void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

API size_t malloc_usable_size(void *p)
{
	return heap_usable_size(p);
}
