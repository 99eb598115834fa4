/* SPDX-License-Identifier: MIT */
/*
 * ahead_carry: from slots that something led to, to objects that need not be
 * looked at.
 *
 *	slot of then, marked      what lies there now
 *	-----------------------   -------------------------------------------
 *	read, not written since   the same slot, an object: marked and scanned
 *	any other                 every object that touches it: marked, queued
 *	not marked                as if there had been no marking ahead
 *
 * By address: it does not matter whether the object is still the same one. If
 * its memory is as it was read, its words are; that is all that "scanned" says.
 *
 * Where the view of then ends, everything is live: words that led there were
 * not noted. So are mappings that were not there, or not as they are now.
 */
#include "gc/ahead.h"
#include "gc/mark_kernel.h"

struct carry {
	struct ahead *a;
	struct heapview *then, *now;
	struct marker *m;
};

/* Mark and queue everything in [lo, hi). */
static void keep(const struct carry *c, uintptr_t lo, uintptr_t hi)
{
	struct heapview *v = c->now;

	hi = MIN(hi, v->base + hv_range(v));
	while (lo < hi) {
		uint64_t e = v->page[arena_page(lo)];
		struct hv_block b;
		struct hv_slot s;

		if (!e) {
			lo = ALIGN_UP(lo + 1, (size_t)PAGE_SIZE);
			continue;
		}
		heapview_block(v, (uint32_t)(e >> HV_BLOCK_SHIFT), &b);
		if (heapview_find(v, lo, &s))
			marker_add(c->m, s);
		lo = b.base + ((lo - b.base) / b.size + 1) * b.size;
	}
}

/* The same slots as then, as far as there are any? */
static bool same_slots(const struct carry *c, uint32_t at, uint64_t entry)
{
	const uint64_t *now = &c->now->word[entry >> HV_BLOCK_SHIFT];
	uint64_t both = c->then->word[at] ^ *now;

	return entry && !(both & ~(uint64_t)HV_QUEUED);
}

/*
 * Places that are none of the same slots now: of a span that is gone, behind
 * one that is shorter than it was, its tail. What lies behind the end of then
 * has a mark of its own, though the last place may go on beyond.
 */
static void carry_places(
	const struct carry *c, uint32_t at, uintptr_t base, uint64_t led)
{
	size_t size = c->then->size[hv_head_class(c->then->word[at])];
	uintptr_t end;

	if (!led)
		return;
	end = ahead_span_end(c->then, at);
	for (; led; led &= led - 1) {
		uintptr_t p = base + (size_t)__builtin_ctzll(led) * size;

		keep(c, p, MIN(p + size, end));
	}
}

static uint64_t slots_now(const struct heapview *v, uint32_t block, unsigned i)
{
	size_t page = v->word[block] >> HV_HEAD_PAGE;
	unsigned n = arena_span(arena_addr(page))->nelems;

	n -= MIN(i * 64, n);
	return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

static void carry_word(const struct carry *c, uint32_t at, uint32_t now,
	unsigned cls, unsigned i)
{
	struct heapview *v = c->now;
	unsigned n = v->mark_words[cls];
	uint64_t *mark = &v->word[now + 1 + i], *scan = mark + n;
	uint64_t led = c->then->word[at + 1 + i] & ~c->a->was[at + 1 + i];
	uint64_t read =
		c->then->word[at + 1 + n + i] & ~c->a->was[at + 1 + n + i];
	uintptr_t base = v->base +
			 (v->word[now] >> HV_HEAD_PAGE << PAGE_SHIFT) +
			 i * 64ul * v->size[cls];
	uint64_t here = slots_now(v, now, i);
	bool written;

	carry_places(c, at, base, led & ~here);
	led &= here & ~*mark;
	written = led && ahead_written(c->a, base, base + 64ul * v->size[cls]);
	if (!written) {
		*mark |= led & read;
		*scan |= led & read;
		led &= ~read;
	}
	for (; led; led &= led - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(led);
		uintptr_t p = base + bit * (uintptr_t)v->size[cls];

		if (read >> bit & 1 &&
			!ahead_written(c->a, p, p + v->size[cls])) {
			*mark |= (uint64_t)1 << bit;
			*scan |= (uint64_t)1 << bit;
		} else {
			marker_add(c->m, (struct hv_slot){now, i * 64 + bit});
		}
	}
}

/* Slots that are others now, or pages that had no span. */
static void carry_span(const struct carry *c, uint32_t at, unsigned cls)
{
	const struct heapview *v = c->then;
	uintptr_t base = v->base + (v->word[at] >> HV_HEAD_PAGE << PAGE_SHIFT);

	for (unsigned i = 0; i < v->mark_words[cls]; i++)
		carry_places(c, at, base + i * 64ul * v->size[cls],
			v->word[at + 1 + i] & ~c->a->was[at + 1 + i]);
}

/* Its written pages are looked at once more, not all of it. */
static void carry_large(const struct carry *c, uint32_t at, uint64_t entry)
{
	const struct heapview *v = c->then;
	const uint64_t *w = &v->word[at];
	uintptr_t lo = v->base + (w[0] >> HV_HEAD_PAGE << PAGE_SHIFT), end;
	uintptr_t hi = lo + w[HV_PROGRESS];
	bool read = w[2] & ~c->a->was[at + 2] & 1;
	struct hv_block b;

	if (!(w[1] & 1))
		return;
	if (read && same_slots(c, at, entry)) {
		heapview_block(c->now, (uint32_t)(entry >> HV_BLOCK_SHIFT), &b);
		read = b.size == hi - lo && !(b.mark[0] & 1);
	} else {
		read = false;
	}
	if (!read) {
		keep(c, lo, hi);
		return;
	}
	b.mark[0] |= 1;
	b.scan[0] |= 1;
	for (uintptr_t p = lo; p < hi; p = end) {
		end = p + OS_PAGE;
		if (!ahead_written(c->a, p, end))
			continue;
		while (end < hi && ahead_written(c->a, end, end + OS_PAGE))
			end += OS_PAGE;
		/* Words at odd addresses may begin in the page before. */
		marker_range(c->m, p > lo ? p - 8 : p, end < hi ? end + 8 : hi);
	}
}

static void carry_blocks(const struct carry *c)
{
	const struct heapview *v = c->then;

	for (size_t i = HV_FIRST; i < v->nwords;) {
		uint32_t at = (uint32_t)i, now;
		unsigned cls = hv_head_class(v->word[at]);
		size_t page = v->word[at] >> HV_HEAD_PAGE;
		uint64_t entry = 0;

		i += hv_block_words(v, cls);
		if (cls == HV_MAPPING)
			continue;
		if (page < c->now->npages)
			entry = c->now->page[page];
		now = (uint32_t)(entry >> HV_BLOCK_SHIFT);
		if (cls == HV_LARGE)
			carry_large(c, at, entry);
		else if (same_slots(c, at, entry))
			for (unsigned k = 0; k < v->mark_words[cls]; k++)
				carry_word(c, at, now, cls, k);
		else
			carry_span(c, at, cls);
	}
}

/* Inside of one that nothing led to? */
static bool was_unreached(const struct carry *c, const struct root_mapping *r)
{
	const struct heapview *v = c->then;
	uint32_t block = heapview_mapping(v, r->lo);

	return block && !(v->word[block + 1] & 1) &&
	       v->map[v->word[block] >> HV_HEAD_PAGE].hi >= r->hi;
}

void ahead_carry(struct ahead *a, struct marker *m)
{
	struct carry c = {a, &a->v, m->v, m};

	ahead_ask(a); /* false: what is not known counts as written */
	carry_blocks(&c);
	keep(&c, a->v.base + hv_range(&a->v), UINTPTR_MAX);
	for (size_t i = 0; i < m->v->nmaps && !m->o.no_mappings; i++)
		if (!was_unreached(&c, &m->v->map[i]))
			marker_add(m, heapview_map_slot(m->v, i));
}
