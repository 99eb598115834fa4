/* SPDX-License-Identifier: MIT */
/*
 * fixalloc: objects of one size, outside the heap.
 *
 *	chunk (64 KiB, aligned)   | head | o | o | o | never used ...
 *	                             \____free list, through the first words
 *
 * Go's never gives anything back. A burst of small spans would then leave
 * megabytes of descriptors behind in a process that has become small again, so
 * chunks count their objects, and one that is empty loses its memory (not its
 * address space, nor its place in the books).
 *
 * Invariants:
 *   X1  a chunk is on partial if it has an object and room for another, on
 *       empty if it has no object, on no list if it is full;
 *   X2  used is the number of objects that are out.
 */
#include "alloc/fixalloc.h"
#include "base/atomics.h"

#include <string.h>

enum {
	CHUNK = 64 << 10,
	REGION = 256 << 10, /* mapped at a time: 3 chunks and the alignment */
};

struct fixchunk {
	struct fixchunk *next, *prev;
	void *free;    /* linked through the first word */
	uint32_t used; /* objects that are out */
	uint32_t top;  /* bytes from here on were never used */
};

enum { FIRST = (sizeof(struct fixchunk) + 63) & ~63 };

static void push(struct fixchunk **list, struct fixchunk *c)
{
	c->prev = NULL;
	c->next = *list;
	if (*list)
		(*list)->prev = c;
	*list = c;
}

static void unlink_chunk(struct fixchunk **list, struct fixchunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		*list = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

static bool has_room(const struct fixalloc *f, const struct fixchunk *c)
{
	return c->free || c->top + f->size <= CHUNK;
}

/* Memory that was never used. */
static struct fixchunk *new_chunk(struct fixalloc *f)
{
	char *p = f->region;

	if (f->region_end - p < CHUNK) {
		p = sysmem_map(NULL, REGION, f->kind);
		if (!p)
			return NULL;
		f->region_end = p + REGION;
		p = (char *)ALIGN_UP((uintptr_t)p, (uintptr_t)CHUNK);
	}
	f->region = p + CHUNK;
	return (struct fixchunk *)p;
}

/* A chunk with room on the partial list; NULL: no memory. */
static struct fixchunk *chunk_with_room(struct fixalloc *f)
{
	struct fixchunk *c = f->partial;

	if (c)
		return c;
	c = f->empty;
	if (c)
		unlink_chunk(&f->empty, c);
	else
		c = new_chunk(f);
	if (!c)
		return NULL;
	c->top = FIRST;
	c->used = 0;
	c->free = NULL;
	push(&f->partial, c);
	return c;
}

void *fixalloc_alloc(struct fixalloc *f)
{
	struct fixchunk *c = chunk_with_room(f);
	void *p;

	if (!c)
		return NULL;
	p = c->free;
	if (p) {
		c->free = *(void **)p;
		memset(p, 0, f->size);
	} else {
		p = (char *)c + c->top;
		c->top += (uint32_t)f->size;
	}
	c->used++;
	if (!has_room(f, c))
		unlink_chunk(&f->partial, c);
	own_add(&f->inuse, f->size);
	return p;
}

void fixalloc_free(struct fixalloc *f, void *p)
{
	struct fixchunk *c = (void *)ALIGN_DOWN(
		(uintptr_t)p, (uintptr_t)CHUNK);
	bool had_room = has_room(f, c);

	own_add(&f->inuse, -f->size);
	*(void **)p = c->free;
	c->free = p;
	c->used--;
	if (!had_room)
		push(&f->partial, c);
	/* One stays as it is, for the next object. */
	if (c->used > 0 || (f->partial == c && !c->next))
		return;
	unlink_chunk(&f->partial, c);
	if (!sysmem_release((char *)c + OS_PAGE, CHUNK - OS_PAGE) ||
		!sysmem_release(c, OS_PAGE))
		memset(c, 0, CHUNK); /* refused; objects start out zeroed */
	push(&f->empty, c);
}
