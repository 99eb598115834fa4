/* SPDX-License-Identifier: MIT */
/*
 * interpose_jemalloc: jemalloc's own functions, for programs linked with it.
 *
 * Debian's redis-server links libjemalloc and calls mallctl and nallocx beside
 * plain malloc. Its malloc is ours, so must be the rest: what jemalloc's
 * statistics tell of, and its xallocx is given, is in our heap.
 *
 * The names are those that Debian's libjemalloc2 exports. mallctl is in
 * mallctl.c. flags: the low six bits are the logarithm of the alignment, bit 6
 * asks for zero; tcache and arena numbers above mean nothing here.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"

#include <stdlib.h>
#include <string.h>

enum { LG_ALIGN = 63, ZERO = 1 << 6 };

/* In no header of ours. */
void *mallocx(size_t size, int flags);
void *rallocx(void *p, size_t size, int flags);
size_t xallocx(void *p, size_t size, size_t extra, int flags);
size_t sallocx(const void *p, int flags);
void dallocx(void *p, int flags);
void sdallocx(void *p, size_t size, int flags);
size_t nallocx(size_t size, int flags);

static size_t alignment(int flags)
{
	return (size_t)1 << (flags & LG_ALIGN);
}

API void *mallocx(size_t size, int flags)
{
	size_t align = alignment(flags);
	void *p;

	if (align <= 16 && size >= 16 && flags & ZERO)
		return heap_calloc(1, size);
	p = heap_memalign(align, size);
	return p && flags & ZERO ? memset(p, 0, size) : p;
}

API void *rallocx(void *p, size_t size, int flags)
{
	size_t old = heap_usable_size(p), now;
	void *q;

	if (alignment(flags) <= 16) {
		q = heap_realloc(p, MAX(size, (size_t)1));
	} else {
		q = mallocx(size, flags & ~ZERO);
		if (q) {
			memcpy(q, p, MIN(old, size));
			free(p);
		}
	}
	if (!q || !(flags & ZERO))
		return q;
	/* Zero from the old end on; a copy stopped at size. */
	now = heap_usable_size(q);
	old = MIN(old, size);
	if (now > old)
		memset((char *)q + old, 0, now - old);
	return q;
}

/* Nothing is resized in place; that is an answer jemalloc may give too. */
API size_t xallocx(
	void *p, size_t size UNUSED, size_t extra UNUSED, int flags UNUSED)
{
	return heap_usable_size(p);
}

API size_t sallocx(const void *p, int flags UNUSED)
{
	return heap_usable_size(p);
}

API void dallocx(void *p, int flags UNUSED)
{
	free(p);
}

API void sdallocx(void *p, size_t size UNUSED, int flags UNUSED)
{
	free(p);
}

API size_t nallocx(size_t size, int flags)
{
	return heap_good_size(alignment(flags), size);
}
