/* SPDX-License-Identifier: MIT */
/*
 * gcsweep: garbage back to its spans.
 *
 * One class at a time, a few spans for each hold of the class's lock. Under
 * that lock no object of the class is on its way between a magazine and a
 * span, so each one is in a span, in a magazine or batch, or with the program;
 * the list is verified once more there, and what is still on it is with the
 * program, which can't reach it. It goes back as if the program had freed it.
 *
 * Nothing is freed twice: an object that the program has freed since the stop
 * is found in its span, magazine or batch and struck out. (Only a program that
 * hides pointers from the marker can do that, see leaklist.c.) One that it
 * frees after the sweep is a double free like any other, and is found where
 * those are: at the top of a magazine, when a magazine is emptied, or always
 * under GOSTAT_HARDEN.
 *
 * Under GOSTAT_HARDEN nothing is swept: what a program frees late must be told
 * of, and for that the object must still be there.
 *
 * Sweeping lazily, in malloc, would save the helper's time and cost malloc's;
 * here the memory is ready before anybody asks.
 */
#include "gc/gcsweep.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "os/sysmem.h"

enum { AT_ONCE = 32 }; /* spans for one hold of a lock */

struct sweep {
	struct leaklist *l;
	uint64_t *objects, *bytes;
	/* Entries of the list by size class: of[start[c]] to of[start[c+1]]. */
	uint32_t *of;
	size_t start[NSIZECLASS + 1];
};

/* The span of entry i, if it still is the one that was listed. */
static struct mspan *span_of(const struct sweep *w, size_t i)
{
	const struct leak_span *r = leaklist_span(w->l, i);
	struct mspan *s = arena_span(arena_addr(r->page));

	return s && s->serial == r->serial ? s : NULL;
}

static void count(struct sweep *w, uint64_t n, uint64_t elemsize)
{
	*w->objects += n;
	*w->bytes += n * elemsize;
}

/*
 * No magazine ever holds an object of a sampled span; large ones were looked
 * for when the list was verified.
 */
static void sweep_singly(struct sweep *w, size_t i, struct mspan *s)
{
	struct leak_span *r = leaklist_span(w->l, i);

	for (unsigned k = 0; k < r->nwords; k++)
		for (uint64_t b = leak_row(r, ROW_LEAKED)[k]; b; b &= b - 1) {
			uint32_t slot = k * 64 + (uint32_t)__builtin_ctzll(b);

			if (s->state == MSPAN_SMALL && mspan_isfree(s, slot))
				continue;
			count(w, 1, r->elemsize);
			if (s->sampled)
				objinfo_free_sampled(
					s, s->base + slot * r->elemsize);
			else
				mheap_free_span(s);
		}
}

/* As the record has it: the span itself may be given up at any moment. */
static unsigned class_of(const struct leak_span *r)
{
	return r->elemsize <= MAX_SMALL ? sizeclass_for(1, r->elemsize) : 0;
}

/* By class, with a count for each; large ones are class 0. */
static void sort_by_class(struct sweep *w)
{
	size_t at[NSIZECLASS + 1] = {0};

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < w->l->nspans; i++) {
			unsigned c = class_of(leaklist_span(w->l, i));

			if (pass)
				w->of[at[c]] = (uint32_t)i;
			at[c]++;
		}
		for (size_t c = 0, sum = 0; !pass && c <= NSIZECLASS; c++) {
			size_t n = c < NSIZECLASS ? at[c] : 0;

			w->start[c] = at[c] = sum;
			sum += n;
		}
	}
}

static void sweep_class(struct sweep *w, unsigned c)
{
	size_t i = w->start[c], end = w->start[c + 1];

	while (i < end) {
		mcentral_lock_class(c);
		leaklist_verify_class(w->l, c);
		for (size_t n = 0; i < end && n < AT_ONCE; i++, n++) {
			struct leak_span *r = leaklist_span(w->l, w->of[i]);
			struct mspan *s = span_of(w, w->of[i]);

			if (s && s->state == MSPAN_SMALL &&
				s->sizeclass == c && !s->sampled)
				count(w,
					mcentral_put_bits(
						s, leak_row(r, ROW_LEAKED)),
					r->elemsize);
		}
		mcentral_unlock_class(c);
	}
}

/* The span of entry i, if its objects go back one by one. */
static struct mspan *single(const struct sweep *w, size_t i)
{
	unsigned c = MAX(class_of(leaklist_span(w->l, i)), 1u);
	struct mspan *s;

	mcentral_lock_class(c);
	lock(&mheap.lock);
	s = span_of(w, i);
	if (s && s->state != MSPAN_LARGE &&
		(s->state != MSPAN_SMALL || !s->sampled))
		s = NULL;
	unlock(&mheap.lock);
	mcentral_unlock_class(c);
	return s;
}

void gcsweep(struct leaklist *l, uint64_t *objects, uint64_t *bytes)
{
	size_t size =
		ALIGN_UP((l->nspans + 1) * sizeof(uint32_t), (size_t)OS_PAGE);
	struct sweep w = {.l = l, .objects = objects, .bytes = bytes};

	if (mheap.harden)
		return;
	w.of = sysmem_map(NULL, size, SYS_GC);
	if (!w.of)
		return; /* the next cycle finds it again */
	sort_by_class(&w);
	for (unsigned c = 1; c < NSIZECLASS; c++)
		sweep_class(&w, c);
	for (size_t i = 0; i < l->nspans; i++) {
		struct mspan *s = single(&w, i);

		if (s)
			sweep_singly(&w, i, s);
	}
	sysmem_unmap(w.of, size, SYS_GC);
}
