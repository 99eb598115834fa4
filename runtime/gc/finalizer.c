/* SPDX-License-Identifier: MIT */
/*
 * finalizer: set by the program, found by the mark, called by a thread.
 *
 *	set[obj] = fn ─unreachable─▶ due[obj] = fn ─finalizer_run─▶ fn(obj)
 *
 * An object whose function is due stays reachable: due is a root, through
 * finalizer_mark(). When fn has run nothing is known of the object any more,
 * and the next cycle may find it unreachable again, for good.
 *
 * Lock: gctables. The functions are called without it.
 */
#include "gc/finalizer.h"
#include "alloc/heap.h"
#include "gc/gctables.h"
#include "gc/mark_kernel.h"
#include "gc/ptrmap.h"

#include <errno.h>

static struct ptrmap set, due;

static bool is_object(const void *p)
{
	const struct mspan *s = arena_span((uintptr_t)p);
	uint32_t i;

	if (!s || (s->state == MSPAN_LARGE && s->base != (uintptr_t)p))
		return false;
	if (s->state != MSPAN_SMALL)
		return s->state == MSPAN_LARGE;
	i = mspan_index(s, (uintptr_t)p);
	return i < s->nelems && !mspan_isfree(s, i) &&
	       s->base + (uintptr_t)i * s->elemsize_small == (uintptr_t)p;
}

int finalizer_set(void *obj, finalizer_fn *fn)
{
	int error = 0;

	if (!is_object(obj))
		return EINVAL;
	gctables_lock();
	if (!fn)
		ptrmap_remove(&set, (uintptr_t)obj);
	else if (!ptrmap_put(&set, (uintptr_t)obj, (uintptr_t)fn))
		error = ENOMEM;
	gctables_unlock();
	return error;
}

/* What the words of an object lead to, but not the object. */
static void mark_inside(struct marker *m, uintptr_t obj)
{
	const struct mspan *s = arena_span(obj);

	if (s)
		marker_range(m, obj, obj + mspan_elemsize(s));
}

size_t finalizer_mark(struct marker *m, uintptr_t *out, size_t max)
{
	struct hv_slot s;
	size_t n = 0;

	for (size_t i = 0; i < due.cap; i++)
		if (heapview_find(m->v, due.slot[i].key, &s))
			marker_add(m, s);
	for (size_t i = 0; i < set.cap; i++)
		if (heapview_find(m->v, set.slot[i].key, &s))
			mark_inside(m, set.slot[i].key);
	marker_drain(m);
	for (size_t i = 0; i < set.cap; i++) {
		if (!heapview_find(m->v, set.slot[i].key, &s))
			continue;
		if (n < max)
			out[n++] = set.slot[i].key;
		marker_add(m, s);
	}
	marker_drain(m);
	return n;
}

size_t finalizer_count(void)
{
	return set.n;
}

void finalizer_due(const uintptr_t *obj, size_t n)
{
	gctables_lock();
	for (size_t i = 0; i < n; i++) {
		const struct ptrmap_entry *e = ptrmap_find(&set, obj[i]);

		/* The program may have taken it back meanwhile. */
		if (e && ptrmap_put(&due, e->key, e->value))
			ptrmap_remove(&set, obj[i]);
	}
	gctables_unlock();
}

bool finalizer_pending(void)
{
	bool any;

	gctables_lock();
	any = due.n > 0;
	gctables_unlock();
	return any;
}

/* Take one out; false: none is left. Goes round, not back to the start. */
static bool take(struct ptrmap_entry *e)
{
	static size_t at;
	bool found;

	gctables_lock();
	found = due.n > 0;
	if (found) {
		while (!ptrmap_used(&due.slot[at & (due.cap - 1)]))
			at++;
		*e = due.slot[at & (due.cap - 1)];
		ptrmap_remove(&due, e->key);
	}
	gctables_unlock();
	return found;
}

void finalizer_run(void)
{
	struct ptrmap_entry e;

	while (take(&e))
		((finalizer_fn *)e.value)((void *)e.key);
}
