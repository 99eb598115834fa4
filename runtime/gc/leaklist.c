/* SPDX-License-Identifier: MIT */
/*
 * leaklist: the snapshot's verdict, and what is left of it.
 *
 * The copy of the process that has marked writes into memory shared with its
 * parent, one record for each span that has unreached objects:
 *
 *	| page serial | leaked ... | direct ... | suppressed ... | info ... |
 *
 * By the time the parent reads it, the program has run on. What it has freed
 * meanwhile is not leaked, and must not be freed again. leaklist_verify()
 * strikes out an object when
 *
 *   V1  its span was given up, or is another one by now (serial);
 *   V2  its slot is free in the span;
 *   V3  it lies in a magazine or in a batch;
 *   V4  what is known of the slot (stack, size) is not what was known then:
 *       freed, and allocated again.
 *
 * Is that enough? A program that keeps its pointers where the marker looks
 * can't free an object that was unreachable at the stop: to call free() it
 * needs the address, and there was none; nor can a new object be at that
 * address before the old one is freed. So all of this concerns programs that
 * hide pointers (XOR lists, pointers in files), whose objects are reported by
 * policy. For them: an object that stays freed is struck out, by V1 to V3. One
 * whose slot was used again is struck out by V4 where stacks are recorded for
 * every object and the newcomer has another stack or size. What remains is a
 * slot that was used again by the same caller: the report then still names a
 * place that hides its pointers, which is what it would have said before.
 *
 * V1 and V2 are looked at under the lock of the class: descriptors are used again
 * for other spans.
 *
 * V3 reads magazines of threads that run. Each word read between base and top
 * was put there since the stop (or the snapshot would have seen it there), so
 * it was freed; words that are missed, on their way between magazine and
 * span, belong to the last case. Magazine memory never goes away, and ends are
 * checked against it, so a torn read is harmless.
 *
 * Rejected: counting frees during the cycle. It would take an instruction on
 * free()'s hit path, always, for the benefit of programs that lie to the
 * collector. Rejected: stopping the world again to read magazines.
 */
#include "gc/leaklist.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "os/sysmem.h"

#include <string.h>

static size_t span_bytes(size_t nwords, size_t ninfo)
{
	return sizeof(struct leak_span) + nwords * NROW * sizeof(uint64_t) +
	       ninfo * sizeof(struct objinfo);
}

static struct objinfo *span_info(const struct leak_span *s)
{
	return (struct objinfo *)(s->bits + NROW * s->nwords);
}

size_t leaklist_bound(void)
{
	size_t large = load_relaxed(&mheap.huge_mallocs) -
		       load_relaxed(&mheap.huge_frees);
	size_t bytes = 0;

	for (unsigned k = 1; k <= MAX_RUN; k++)
		large += load_relaxed(&mheap.run_out[k]);
	for (unsigned c = 1; c < NSIZECLASS; c++)
		for (int k = 0; k < 2; k++)
			bytes += load_relaxed(&mcentral[k][c].nspans) *
				 span_bytes((sizeclasses[c].nelems + 64) / 64,
					 sizeclasses[c].nelems);
	return bytes + large * span_bytes(1, 1);
}

static void write_info(struct leak_span *out, const struct mspan *s)
{
	struct objinfo *info = span_info(out);
	const uint64_t *leaked = leak_row(out, ROW_LEAKED);

	for (unsigned i = 0; i < out->nwords; i++)
		for (uint64_t w = leaked[i]; w; w &= w - 1) {
			unsigned slot = i * 64 + (unsigned)__builtin_ctzll(w);
			const struct objinfo *o = objinfo_of(s, slot);

			*info++ = o ? *o : (struct objinfo){0};
		}
}

static void write_span(struct leaklist *l, const struct hv_block *b,
	const struct leak_sets *sets, uint64_t n)
{
	const struct mspan *s = arena_span(b->base);
	size_t bytes = span_bytes(b->nwords, n);
	struct leak_span *out = (void *)(l->p + l->len);

	if (l->cap - l->len < bytes) {
		l->truncated = true;
		return;
	}
	l->len += bytes;
	l->nspans++;
	out->page = (uint32_t)arena_page(b->base);
	out->serial = s->serial;
	out->nwords = b->nwords;
	out->elemsize = b->size;
	out->ninfo = (uint32_t)n;
	for (unsigned i = 0; i < b->nwords; i++) {
		struct leak_bits k = {~b->mark[i], ~b->mark[i], 0};

		if (sets)
			k = leak_bits(sets, b, i);
		leak_row(out, ROW_LEAKED)[i] = k.leaked;
		leak_row(out, ROW_DIRECT)[i] = k.direct;
		leak_row(out, ROW_SUPPRESSED)[i] = k.suppressed;
		leak_row(out, ROW_WRITTEN)[i] = k.leaked;
	}
	write_info(out, s);
}

void leaklist_write(
	struct leaklist *l, const struct heapview *v, const struct leak_sets *s)
{
	struct hv_block b;
	bool more;

	l->len = l->nspans = 0;
	l->truncated = false;
	for (more = heapview_first(v, &b); more; more = heapview_next(v, &b)) {
		uint64_t n = 0;

		if (b.cls == HV_MAPPING)
			continue;
		for (unsigned i = 0; i < b.nwords; i++)
			n += (uint64_t)__builtin_popcountll(
				s ? leak_bits(s, &b, i).leaked : ~b.mark[i]);
		if (n)
			write_span(l, &b, s, n);
	}
}

bool leaklist_open(struct leaklist *l)
{
	size_t bytes =
		ALIGN_UP((l->nspans + 1) * sizeof(size_t), (size_t)OS_PAGE);
	size_t at = 0;

	l->index = sysmem_map(NULL, bytes, SYS_GC);
	if (!l->index)
		return false;
	for (size_t i = 0; i < l->nspans; i++) {
		const struct leak_span *s = (const void *)(l->p + at);

		l->index[i] = at;
		at += span_bytes(s->nwords, s->ninfo);
	}
	return true;
}

void leaklist_close(struct leaklist *l)
{
	if (l->index)
		sysmem_unmap(l->index,
			ALIGN_UP((l->nspans + 1) * sizeof(size_t),
				(size_t)OS_PAGE),
			SYS_GC);
	l->index = NULL;
}

struct leak_span *leaklist_find(const struct leaklist *l, size_t page)
{
	size_t lo = 0, hi = l->nspans;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct leak_span *s = leaklist_span(l, mid);

		if (s->page == page)
			return s;
		if (s->page < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Take bits out of a record's verdict; the number of them. */
static uint64_t strike(struct leak_span *r, unsigned i, uint64_t bits)
{
	uint64_t *leaked = &leak_row(r, ROW_LEAKED)[i];
	uint64_t n = (uint64_t)__builtin_popcountll(*leaked & bits);

	*leaked &= ~bits;
	return n;
}

/* V4 for the objects of one word; *at counts entries of info. */
static uint64_t changed(const struct leak_span *r, unsigned i, size_t *at,
	const struct mspan *s)
{
	uint64_t diff = 0;

	for (uint64_t w = leak_row((struct leak_span *)r, ROW_WRITTEN)[i]; w;
		w &= w - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(w);
		const struct objinfo *was = &span_info(r)[(*at)++];
		const struct objinfo *is = objinfo_of(s, i * 64 + bit);

		if (is && (load_relaxed(&is->stack) != was->stack ||
				  is->unused != was->unused))
			diff |= (uint64_t)1 << bit;
	}
	return diff;
}

/* Under mheap.lock. */
static bool same_span(const struct leak_span *r, const struct mspan *s)
{
	return s && s->serial == r->serial &&
		(s->state == MSPAN_SMALL || s->state == MSPAN_LARGE) &&
		(s->nelems + 63u) / 64 <= r->nwords;
}

/*
 * Under the lock of the class that it was of, a span stays what it is, and its
 * free bits are what they are.
 */
static uint64_t verify_span(struct leak_span *r)
{
	const struct mspan *s;
	unsigned c = sizeclass_for(1, MIN(r->elemsize, (uint64_t)MAX_SMALL));
	uint64_t n = 0;
	size_t at = 0;
	bool same;

	mcentral_lock_class(c);
	lock(&mheap.lock);
	s = arena_span(arena_addr(r->page));
	same = same_span(r, s);
	unlock(&mheap.lock);
	for (unsigned i = 0; i < r->nwords; i++) {
		uint64_t gone = ~(uint64_t)0;

		if (same) {
			gone = changed(r, i, &at, s);
			if (i < s->nwords)
				gone |= load_relaxed(&s->freebits[i]);
		}
		n += strike(r, i, gone);
	}
	mcentral_unlock_class(c);
	return n;
}

/* The last record that begins at this page or before, or NULL. */
static struct leak_span *record_at(const struct leaklist *l, size_t page)
{
	size_t lo = 0, hi = l->nspans;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (leaklist_span(l, mid)->page <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? leaklist_span(l, lo - 1) : NULL;
}

/*
 * By what the record says of its span, not by the span, which may be given up at
 * this moment. Behind its last slot no bit is set.
 */
static uint64_t strike_object(const struct leaklist *l, uintptr_t p)
{
	struct leak_span *r = record_at(l, arena_page(p));
	uint64_t slot;

	if (!r || p < window_base)
		return 0;
	slot = (p - arena_addr(r->page)) / r->elemsize;
	if (slot / 64 >= r->nwords)
		return 0;
	return strike(r, (unsigned)(slot / 64), (uint64_t)1 << slot % 64);
}

/* Its owner stores there as it likes; see V3 above. */
__attribute__((no_sanitize("thread"))) static uintptr_t peek(void **p)
{
	return (uintptr_t)load_relaxed(p);
}

/* V3; what is read may change under our hands. */
static uint64_t strike_magazine(const struct leaklist *l,
	const struct mcache *mc, const struct mcache_rec *rec)
{
	void **base = load_relaxed(&rec->base), **top = load_relaxed(&rec->top);
	const char *lo = (const char *)mc, *hi = mc->bump_end;
	uint64_t n = 0;

	if ((char *)base < lo || (char *)base >= hi || (char *)top < lo ||
		(char *)top >= hi || top - base > MAG_MAX)
		return 0;
	for (void **p = base + 1; p <= top; p++)
		n += strike_object(l, peek(p));
	return n;
}

/* Under c->lock. */
static uint64_t strike_batches(const struct leaklist *l, struct mcentral *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->nbatches; i++)
		for (size_t k = 0; k < c->batch[i].n; k++)
			n += strike_object(l, (uintptr_t)c->batch[i].obj[k]);
	return n;
}

static uint64_t strike_magazines(const struct leaklist *l, unsigned r)
{
	uint64_t n = 0;

	/* acquire [mcaches]: pairs with the release that lists an mcache. */
	for (struct mcache *mc = load_acquire(&mcache_all); mc; mc = mc->next)
		n += strike_magazine(l, mc, &mc->rec[r]);
	return n;
}

void leaklist_verify_class(struct leaklist *l, unsigned sizeclass)
{
	strike_magazines(l, sizeclass);
	strike_batches(l, &mcentral[0][sizeclass]);
}

uint64_t leaklist_verify(struct leaklist *l)
{
	uint64_t n = 0;

	if (!l->nspans)
		return 0;
	for (size_t i = 0; i < l->nspans; i++)
		n += verify_span(leaklist_span(l, i));
	for (unsigned r = 1; r < NREC; r++)
		n += strike_magazines(l, r);
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		if (load_relaxed(&mcentral[0][c].batched) == 0)
			continue;
		mcentral_lock_class(c);
		n += strike_batches(l, &mcentral[0][c]);
		mcentral_unlock_class(c);
	}
	return n;
}

static enum leak_kind kind_of(
	const struct leak_span *r, unsigned i, unsigned bit)
{
	struct leak_span *s = (struct leak_span *)r;

	if (leak_row(s, ROW_SUPPRESSED)[i] >> bit & 1)
		return LEAK_SUPPRESSED;
	return leak_row(s, ROW_DIRECT)[i] >> bit & 1 ? LEAK_DIRECT
						     : LEAK_INDIRECT;
}

static void each_of_span(struct leak_span *r, size_t slot_bytes,
	void (*fn)(void *arg, const struct leak_object *o), void *arg)
{
	const struct objinfo *info = span_info(r);

	for (unsigned i = 0; i < r->nwords; i++)
		for (uint64_t w = leak_row(r, ROW_WRITTEN)[i]; w; w &= w - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(w);
			const struct objinfo *o = info++;
			struct leak_object obj = {
				arena_addr(r->page) +
					(i * 64 + bit) * slot_bytes,
				slot_bytes - o->unused, o->stack,
				kind_of(r, i, bit)};

			if (leak_row(r, ROW_LEAKED)[i] >> bit & 1)
				fn(arg, &obj);
		}
}

void leaklist_each(const struct leaklist *l,
	void (*fn)(void *arg, const struct leak_object *o), void *arg)
{
	for (size_t i = 0; i < l->nspans; i++) {
		struct leak_span *r = leaklist_span(l, i);

		each_of_span(r, r->elemsize, fn, arg);
	}
}
