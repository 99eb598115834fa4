/* SPDX-License-Identifier: MIT */
/*
 * leak: who owns a leak.
 *
 * A report names thousands of objects only if it must. What matters is where
 * each leak begins: of a tree its root, of a ring any one object, and neither
 * for what hangs off them. In terms of the graph of leaked objects: condense
 * it into strongly connected components; one object of each component that no
 * other points to is direct, everything else indirect.
 *
 *	a -> b -> c	a direct		a <-> b -> c	a direct
 *	p -> b		p direct too		d -> a		d, not a
 *
 * No component is ever computed. The marker itself answers "what follows from
 * this object", so three floods do:
 *
 *   1  Set a bit for everything that a leaked object points to. Who has none
 *      is direct. Flood from all of those at once: indirect.
 *   2  What is left lies on rings, or behind them. In address order: flood
 *      from each object that no flood has reached yet; it is a candidate. No
 *      candidate can be reached from an earlier one.
 *   3  Forget these floods. In the opposite order: a candidate that has not
 *      been reached from a later one is direct; flood from it.
 *
 * Why 3 is right: let c be a candidate not reached from later ones, so from no
 * other candidate at all. Let x lead to c. In 2 x was reached from some
 * candidate k, or is one; then so was c, thus k is c, and x is in c's
 * component: nothing outside points into it. And if c is reached from a later
 * candidate k, it does not lead to k, for then k would have been reached in 2:
 * c's component has somebody above it. A component at the top holds exactly
 * one candidate: the first of it that 2 came by.
 *
 * This costs four bits an object and the speed of marking, on top of a
 * mark that has found leaks.
 *
 * Suppressed objects are taken out first, by a flood of their own: who hangs
 * off one goes with it, as in LeakSanitizer.
 *
 * Rejected: Tarjan's algorithm. It needs an index, a low link and two stack
 * entries for each object, and visits one object at a time.
 */
#include "gc/leak.h"
#include "alloc/objinfo.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

#define EACH_BLOCK(v, b)                                                       \
	for (bool more_ = heapview_first((v), (b)); more_;                     \
		more_ = heapview_next((v), (b)))

/* Each set bit of word i, as a slot of its block. */
#define EACH_SLOT(slot, i, word)                                               \
	for (uint64_t w_ = (word), slot;                                       \
		w_ && (slot = (i)*64 + (unsigned)__builtin_ctzll(w_), 1);      \
		w_ &= w_ - 1)

static void add(struct marker *m, const struct hv_block *b, uint64_t slot)
{
	marker_add(m, (struct hv_slot){b->at, (uint32_t)slot});
}

static uint32_t stack_of(const struct hv_block *b, uint64_t slot)
{
	const struct mspan *s = arena_span(b->base);
	const struct objinfo *o = s ? objinfo_of(s, (uint32_t)slot) : NULL;

	return o ? o->stack : 0;
}

/* Objects of the heap, not mappings, that have no mark bit. */
static uint64_t unmarked(const struct hv_block *b, unsigned i)
{
	return b->cls == HV_MAPPING ? 0 : ~b->mark[i];
}

/* The program said so, or this is a child and the object its parent's. */
static bool ignored(const struct objinfo *o)
{
	return o->stack == OBJINFO_IGNORED || o->shift < objinfo_epoch;
}

static void ignore_block(struct marker *m, const struct hv_block *b)
{
	const struct mspan *s = arena_span(b->base);

	for (unsigned i = 0; i < b->nwords; i++)
		EACH_SLOT(slot, i, unmarked(b, i))
			if (s->info ? ignored(&s->info[slot])
				    : objinfo_epoch > 0)
				add(m, b, slot);
}

void leak_ignore(struct marker *m, const uintptr_t *p, size_t n)
{
	struct hv_block b;
	struct hv_slot s;

	for (size_t i = 0; i < n; i++)
		if (heapview_find(m->v, p[i], &s))
			marker_add(m, s);
	EACH_BLOCK(m->v, &b)
	{
		if (b.cls != HV_MAPPING)
			ignore_block(m, &b);
	}
	marker_drain(m);
}

static void suppress(struct marker *m,
	bool (*suppressed)(void *arg, uint32_t stack), void *arg)
{
	struct hv_block b;

	EACH_BLOCK(m->v, &b)
	{
		for (unsigned i = 0; i < b.nwords; i++)
			EACH_SLOT(slot, i, unmarked(&b, i))
			{
				uint32_t stack = stack_of(&b, slot);

				if (stack && suppressed(arg, stack))
					add(m, &b, slot);
			}
	}
	marker_drain(m);
}

/* 1: those that nothing points to, and what follows from them. */
static void flood_sources(struct marker *m, struct leak_sets *s)
{
	struct heapview *v = m->v;
	struct hv_block b;

	marker_edges_begin(m);
	EACH_BLOCK(v, &b)
	{
		for (unsigned i = 0; i < b.nwords && b.cls != HV_MAPPING; i++)
			EACH_SLOT(slot, i, ~s->kept[b.at + 1 + i])
		marker_edges(m, &b, (uint32_t)slot);
	}
	marker_edges_end(m);
	EACH_BLOCK(v, &b)
	{
		for (unsigned i = 0; i < b.nwords; i++)
			s->direct[b.at + 1 + i] = unmarked(&b, i);
	}
	memcpy(v->word, s->kept, v->nwords * sizeof(uint64_t));
	EACH_BLOCK(v, &b)
	{
		for (unsigned i = 0; i < b.nwords; i++)
			EACH_SLOT(slot, i, s->direct[b.at + 1 + i])
		add(m, &b, slot);
	}
	marker_drain(m);
}

/* 2: candidates, in the scan bits of direct. False: there are none. */
static bool find_candidates(struct marker *m, struct leak_sets *s)
{
	struct hv_block b;
	bool any = false;

	EACH_BLOCK(m->v, &b)
	{
		uint64_t *candidate = s->direct + b.at + 1 + b.nwords;

		for (unsigned i = 0; i < b.nwords; i++) {
			uint64_t left;

			while ((left = unmarked(&b, i)) != 0) {
				candidate[i] |= left & -left;
				add(m, &b,
					i * 64 + (unsigned)__builtin_ctzll(
							 left));
				marker_drain(m);
				any = true;
			}
		}
	}
	return any;
}

/* 3, for one block: its candidates from the last to the first. */
static void settle_block(
	struct marker *m, struct leak_sets *s, const struct hv_block *b)
{
	uint64_t *direct = s->direct + b->at + 1;

	for (unsigned i = b->nwords; i-- > 0;) {
		uint64_t left = direct[b->nwords + i];

		while (left) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(left);

			left &= ~((uint64_t)1 << bit);
			if (b->mark[i] >> bit & 1)
				continue;
			direct[i] |= (uint64_t)1 << bit;
			add(m, b, i * 64 + bit);
			marker_drain(m);
		}
	}
}

/* Blocks are of many lengths: to go backwards, note where they begin. */
static bool settle_candidates(struct marker *m, struct leak_sets *s)
{
	const struct heapview *v = m->v;
	size_t bytes =
		ALIGN_UP((v->nblocks + 1) * sizeof(uint32_t), (size_t)OS_PAGE);
	uint32_t *at = sysmem_map(NULL, bytes, SYS_GC);
	struct hv_block b;
	size_t n = 0;

	if (!at)
		return false;
	EACH_BLOCK(v, &b)
	{
		at[n++] = b.at;
	}
	while (n-- > 0) {
		heapview_block(v, at[n], &b);
		settle_block(m, s, &b);
	}
	sysmem_unmap(at, bytes, SYS_GC);
	return true;
}

bool leak_classify(struct marker *m, struct leak_sets *s,
	bool (*suppressed)(void *arg, uint32_t stack), void *arg)
{
	struct heapview *v = m->v;
	size_t n = v->nwords * sizeof(uint64_t);
	uint64_t *area;

	s->bytes = ALIGN_UP(n, (size_t)OS_PAGE);
	area = sysmem_map(NULL, 4 * s->bytes, SYS_GC);
	if (!area)
		return false;
	s->reached = area;
	s->kept = area + s->bytes / sizeof(*area);
	s->direct = s->kept + s->bytes / sizeof(*area);
	s->residue = s->direct + s->bytes / sizeof(*area);
	memcpy(s->reached, v->word, n);
	if (suppressed)
		suppress(m, suppressed, arg);
	memcpy(s->kept, v->word, n);
	flood_sources(m, s);
	memcpy(s->residue, v->word, n);
	if (!find_candidates(m, s))
		return true;
	memcpy(v->word, s->residue, n);
	if (settle_candidates(m, s))
		return true;
	leak_sets_free(s);
	return false;
}

void leak_sets_free(struct leak_sets *s)
{
	if (s->reached)
		sysmem_unmap(s->reached, 4 * s->bytes, SYS_GC);
	s->reached = NULL;
}
