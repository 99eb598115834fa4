/* SPDX-License-Identifier: MIT */
/*
 * fixalloc: objects of one size, outside the heap.
 *
 *	chunk (16 KiB, aligned)   | head* | o | o | o | never used ...
 *	                              |    \____free list, through first words
 *	heads (a page at a time)  | head | head | head | ...
 *
 * Go's never gives anything back. A burst of small spans would then leave
 * megabytes of descriptors behind in a process that has become small again, so
 * chunks count their objects, and one that is empty loses its memory (not its
 * address space, nor its place in the books). Heads lie apart, for a list of
 * empty chunks that runs through them would keep a page of each.
 *
 * Invariants:
 *   X1  a chunk is on partial if it has an object and room for another, on
 *       empty if it has no object, on no list if it is full;
 *   X2  used is the number of objects that are out;
 *   X3  a chunk that has memory begins with the address of its head.
 */
#include "alloc/fixalloc.h"
#include "base/atomics.h"

#include <string.h>

enum {
	CHUNK = 16 << 10,
	REGION = 256 << 10, /* mapped at a time: 15 chunks and the alignment */
	LARGE_FROM = 2 << 20, /* bytes of objects, in a heap of 200 MiB or more */
	LARGE_REGION = 4 << 20, /* in huge pages */
};

struct fixchunk {
	struct fixchunk *next, *prev;
	char *mem;     /* CHUNK bytes */
	void *free;    /* linked through the first word */
	uint32_t used; /* objects that are out */
	uint32_t top;  /* bytes from here on were never used */
};

enum { FIRST = 64 }; /* keeps objects apart by cache lines */

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

static struct fixchunk *new_head(struct fixalloc *f)
{
	char *p = f->heads;

	if (f->heads_end - p < (ptrdiff_t)sizeof(struct fixchunk)) {
		p = sysmem_map(NULL, OS_PAGE, f->kind);
		if (!p)
			return NULL;
		f->heads_end = p + OS_PAGE;
	}
	f->heads = p + sizeof(struct fixchunk);
	return (struct fixchunk *)p;
}

/* Memory that was never used. */
static struct fixchunk *new_chunk(struct fixalloc *f)
{
	char *p = f->region;
	struct fixchunk *c;

	if (f->region_end - p < CHUNK) {
		size_t size = f->inuse < LARGE_FROM ? REGION : LARGE_REGION;

		p = sysmem_map(NULL, size, f->kind);
		if (!p)
			return NULL;
		if (size == LARGE_REGION)
			sysmem_hugepage(p, size, true);
		f->region_end = p + size;
		p = (char *)ALIGN_UP((uintptr_t)p, (uintptr_t)CHUNK);
		f->region = p;
	}
	c = new_head(f);
	if (!c)
		return NULL;
	c->mem = p;
	f->region = p + CHUNK;
	return c;
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
	*(struct fixchunk **)c->mem = c;
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
		p = c->mem + c->top;
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
	struct fixchunk *c = *(struct fixchunk **)ALIGN_DOWN(
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
	if (!sysmem_release(c->mem, CHUNK))
		memset(c->mem, 0, CHUNK); /* refused; objects start zeroed */
	push(&f->empty, c);
}
