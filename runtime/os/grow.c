/* SPDX-License-Identifier: MIT */
/*
 * grow: working memory for writers that do not know their size beforehand.
 *
 * Profiles, answers and traces are put together outside of the heap that they
 * describe: an allocation there would change the numbers, and a dump may be
 * written while the heap is exhausted. Each block is one private mapping,
 * accounted to OtherSys, and doubles when it is full.
 *
 *	p                  len               cap             limit
 *	|------ used ------|---- zero -------|  . . . . . .  |
 *
 * Invariants:
 *   I1  len <= cap <= limit, cap is 0 or a multiple of OS_PAGE;
 *   I2  p is NULL exactly when cap is 0.
 *
 * Locks: none; a block belongs to whoever declared it.
 *
 * Rejected: mremap, which would save the copy. Copying costs one memcpy per
 * doubling, so at most the size of the result, and needs no system call that
 * the start-up did not already make.
 */
#include "os/grow.h"

#include <string.h>

enum { FIRST = 4 * OS_PAGE };

bool grow_room(struct grow *g, size_t more)
{
	size_t cap = MAX(g->cap * 2, (size_t)FIRST);
	char *p;

	if (more <= g->cap - g->len)
		return true;
	if (more > g->limit || g->len > g->limit - more)
		return false;
	cap = MAX(cap, ALIGN_UP(g->len + more, (size_t)OS_PAGE));
	cap = MIN(cap, g->limit);
	p = sysmem_map(NULL, cap, SYS_OTHER);
	if (!p)
		return false;
	if (g->p) {
		memcpy(p, g->p, g->len);
		sysmem_unmap(g->p, g->cap, SYS_OTHER);
	}
	g->p = p;
	g->cap = cap;
	return true;
}

void *grow_add(struct grow *g, size_t n)
{
	void *at;

	if (!grow_room(g, n))
		return NULL;
	at = g->p + g->len;
	g->len += n;
	return at;
}

void grow_free(struct grow *g)
{
	if (g->p)
		sysmem_unmap(g->p, g->cap, SYS_OTHER);
	g->p = NULL;
	g->len = g->cap = 0;
}

/* The hook of fmt: the buffer is full, enlarge the block behind it. */
static bool fmt_more(struct fmt *f)
{
	struct grow *g = f->full_arg;

	g->len = f->len;
	if (!grow_room(g, 1))
		return false;
	f->buf = g->p;
	f->cap = g->cap;
	return true;
}

void grow_fmt(struct grow *g, struct fmt *f)
{
	fmt_init(f, g->p, g->cap, -1);
	f->len = g->len;
	f->full = fmt_more;
	f->full_arg = g;
}

bool grow_fmt_end(struct grow *g, const struct fmt *f)
{
	g->len = f->len;
	return !f->truncated;
}
