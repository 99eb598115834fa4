/* SPDX-License-Identifier: MIT */
/*
 * heapview: from an address to the mark bit of its object, in two loads.
 *
 * The allocator's own tables answer "whose address is this" by way of a span
 * descriptor, 100 bytes that are in no cache when a pointer graph is walked
 * at random. The marker gets a denser picture, made once at the start:
 *
 *	page[(p - base) / 8 KiB]  ->  block | class | pages since span start
 *	                                 |      |
 *	                                 |      +-> size and magic: slot number
 *	                                 v
 *	word[]:  ...| head | mark bits ... | scan bits ... | head | ...
 *	              |       one bit a slot
 *	              +-> first page, class, "is queued"
 *
 * A block is one span. Its bits are packed by slot, not spread by address: 64
 * objects of any size share 24 bytes. For 1 GiB of objects of 16 to 512 bytes
 * page[] and word[] take 1 MiB each, so they stay in a level-2 cache where a
 * line of address-indexed bits for each page (8 MiB) would not.
 *
 * Bits start as 1 wherever there is no object: free slots, slots in a
 * magazine or batch, the tail of a span. Pages without a span lead to block 0,
 * whose bits are all 1. So a word that is no pointer to an object looks like one
 * that was marked before, and the marker needs no test for it.
 *
 * Mappings that are objects (roots.h) get blocks like large objects, but no
 * entries in page[]: they lie elsewhere and are searched for in a list.
 *
 * Invariants, walked by heapview_check():
 *   V1  every page of a span in use leads to the block of that span;
 *   V2  a mark bit is 0 only for a slot that is out of its span and in no
 *       magazine, and only while nobody has reached it;
 *   V3  scan bits are a subset of mark bits.
 *
 * Rejected: bits by 16-byte granule, one line a page. It saves the look at
 * page[] before the prefetch, and costs eight times the memory. Rejected: bits
 * inside the span, as in Go's Green Tea: writing them would copy the page in a
 * snapshot.
 */
#include "gc/heapview.h"
#include "alloc/harden.h"
#include "alloc/mcache.h"
#include "alloc/mcentral.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

enum { LARGE_WORDS = HV_LARGE_WORDS, FIRST_BLOCK = HV_FIRST };

static unsigned mark_words(const struct sizeclass *c)
{
	size_t tail =
		c->npages * (size_t)PAGE_SIZE - (size_t)c->nelems * c->size;

	return (c->nelems + (tail != 0) + 63) / 64;
}

static void init_classes(struct heapview *v)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		v->magic[c] = sizeclasses[c].magic;
		v->size[c] = sizeclasses[c].size;
		v->mark_words[c] = (uint8_t)mark_words(&sizeclasses[c]);
	}
	v->mark_words[HV_NONE] = v->mark_words[HV_LARGE] =
		v->mark_words[HV_MAPPING] = 1;
}

/* How many words all blocks take: the allocator counts its spans. */
static size_t count_words(const struct heapview *v)
{
	size_t large = mheap.huge_mallocs - mheap.huge_frees;
	size_t n = FIRST_BLOCK;

	for (unsigned c = 1; c < NSIZECLASS; c++)
		n += (mcentral[0][c].nspans + mcentral[1][c].nspans) *
		     hv_block_words(v, c);
	for (unsigned k = 1; k <= MAX_RUN; k++)
		large += mheap.run_out[k];
	return n + (large + v->nmaps) * LARGE_WORDS;
}

static uint64_t head(unsigned cls, uint64_t page)
{
	return page << HV_HEAD_PAGE | (uint64_t)cls << HV_HEAD_CLASS;
}

static void add_large(
	struct heapview *v, unsigned cls, uint64_t page, size_t bytes)
{
	uint64_t *w = v->word + v->nwords;

	w[0] = head(cls, page);
	w[1] = w[2] = ~(uint64_t)1;
	w[HV_PROGRESS] = 0;
	w[HV_SIZE] = bytes;
}

static void add_small(struct heapview *v, const struct mspan *s, uint64_t page)
{
	unsigned n = v->mark_words[s->sizeclass];
	uint64_t *w = v->word + v->nwords;

	w[0] = head(s->sizeclass, page);
	for (unsigned i = 0; i < n; i++) {
		uint64_t free = i < s->nwords ? s->freebits[i] : ~(uint64_t)0;
		unsigned left = s->nelems - MIN(i * 64, s->nelems);

		if (left < 64)
			free |= ~(uint64_t)0 << left;
		w[1 + i] = w[1 + n + i] = free;
	}
}

/* False: there are more spans than were counted, the heap is not frozen. */
static bool add_span(struct heapview *v, const struct mspan *s, size_t page)
{
	bool small = s->state == MSPAN_SMALL;
	unsigned cls = small ? s->sizeclass : HV_LARGE;
	size_t need = hv_block_words(v, cls);
	uint64_t entry = (uint64_t)v->nwords << HV_BLOCK_SHIFT |
			 (uint64_t)cls << HV_CLASS_SHIFT;

	if ((v->nwords + need) * sizeof(uint64_t) > v->word_bytes)
		return false;
	if (small) {
		add_small(v, s, page);
		v->objects += s->nelems - s->nfree;
		v->bytes +=
			(uint64_t)(s->nelems - s->nfree) * s->elemsize_small;
	} else {
		add_large(v, cls, page, mspan_bytes(s));
		v->objects++;
		v->bytes += mspan_bytes(s);
	}
	for (size_t i = 0; i < s->npages; i++)
		v->page[page + i] = entry | i;
	v->nwords += need;
	v->nblocks++;
	return true;
}

static bool add_spans(struct heapview *v)
{
	size_t step;

	for (size_t i = 0; i < v->npages; i += step) {
		const struct arena *a = arenas[i / ARENA_PAGES];
		const struct mspan *s;

		step = 1;
		if (!a) {
			step = ARENA_PAGES;
			continue;
		}
		s = a->spans[i % ARENA_PAGES];
		if (!s || arena_page(s->base) != i)
			continue;
		step = s->npages;
		if ((s->state == MSPAN_SMALL || s->state == MSPAN_LARGE) &&
			!add_span(v, s, i))
			return false;
	}
	return true;
}

static void add_maps(struct heapview *v)
{
	v->map_block = (uint32_t)v->nwords;
	for (size_t i = 0; i < v->nmaps; i++) {
		add_large(v, HV_MAPPING, i, v->map[i].hi - v->map[i].lo);
		v->nwords += LARGE_WORDS;
		v->nblocks++;
	}
}

/* An object that a magazine or a batch holds is nobody's. */
static void drop(struct heapview *v, uintptr_t p)
{
	struct hv_slot s;
	struct hv_block b;
	uint64_t bit;

	if (!heapview_find(v, p, &s))
		return; /* the program freed it twice: it is here twice */
	heapview_block(v, s.block, &b);
	bit = (uint64_t)1 << s.slot % 64;
	b.mark[s.slot / 64] |= bit;
	b.scan[s.slot / 64] |= bit;
	v->objects--;
	v->bytes -= b.size;
}

static void drop_batches(struct heapview *v, const struct mcentral *c)
{
	for (size_t i = 0; i < c->nbatches; i++)
		for (size_t k = 0; k < c->batch[i].n; k++)
			drop(v, (uintptr_t)c->batch[i].obj[k]);
}

static void drop_magazines(struct heapview *v)
{
	for (unsigned c = 1; c < NSIZECLASS; c++) {
		drop_batches(v, &mcentral[0][c]);
		drop_batches(v, &mcentral[1][c]);
	}
	for (size_t i = 0; i < harden_count(); i++)
		drop(v, harden_at(i));
	for (struct mcache *mc = mcache_all; mc; mc = mc->next)
		for (unsigned r = 1; r < NREC; r++)
			for (void **p = mc->rec[r].base + 1;
				p <= mc->rec[r].top; p++)
				drop(v, (uintptr_t)*p);
}

bool heapview_init(struct heapview *v, const struct rootset *roots)
{
	memset(v, 0, sizeof(*v));
	init_classes(v);
	v->base = window_base;
	v->npages = MIN(window_npages, arena_page(window.next));
	if (roots) {
		v->roots = roots;
		v->map = rootset_mappings(roots);
		v->nmaps = roots->mappings.n;
	}
	v->page_bytes =
		ALIGN_UP((v->npages + 1) * sizeof(uint64_t), (size_t)OS_PAGE);
	v->word_bytes =
		ALIGN_UP(count_words(v) * sizeof(uint64_t), (size_t)OS_PAGE);
	v->page = sysmem_map(NULL, v->page_bytes, SYS_GC);
	v->word = sysmem_map(NULL, v->word_bytes, SYS_GC);
	if (!v->page || !v->word || v->word_bytes >> 3 > UINT32_MAX)
		goto fail;
	memset(v->word, 0xff, FIRST_BLOCK * sizeof(uint64_t));
	v->word[0] = HV_QUEUED;
	v->nwords = FIRST_BLOCK;
	if (!add_spans(v))
		goto fail;
	drop_magazines(v);
	add_maps(v);
	return true;
fail:
	heapview_free(v);
	return false;
}

void heapview_free(struct heapview *v)
{
	if (v->page)
		sysmem_unmap(v->page, v->page_bytes, SYS_GC);
	if (v->word)
		sysmem_unmap(v->word, v->word_bytes, SYS_GC);
	v->page = v->word = NULL;
}

uint32_t heapview_mapping(const struct heapview *v, uintptr_t p)
{
	size_t lo = 0, hi = v->nmaps;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p < v->map[mid].lo)
			hi = mid;
		else if (p >= v->map[mid].hi)
			lo = mid + 1;
		else
			return v->map_block + (uint32_t)mid * LARGE_WORDS;
	}
	return 0;
}

struct hv_slot heapview_map_slot(const struct heapview *v, size_t i)
{
	return (struct hv_slot){v->map_block + (uint32_t)i * LARGE_WORDS, 0};
}

bool heapview_find(const struct heapview *v, uintptr_t p, struct hv_slot *s)
{
	uintptr_t off = p - v->base;
	uint64_t e, at;

	s->slot = 0;
	if (off >= hv_range(v)) {
		s->block = heapview_mapping(v, p);
		return s->block && !(v->word[s->block + 1] & 1);
	}
	e = v->page[off >> PAGE_SHIFT];
	at = off % PAGE_SIZE + ((e & HV_PAGEOFF) << PAGE_SHIFT);
	s->block = (uint32_t)(e >> HV_BLOCK_SHIFT);
	s->slot = (uint32_t)(at * v->magic[e >> HV_CLASS_SHIFT & 0x7f] >> 32);
	return !(v->word[s->block + 1 + s->slot / 64] >> s->slot % 64 & 1);
}

void heapview_block(const struct heapview *v, uint32_t at, struct hv_block *b)
{
	uint64_t *w = v->word + at;
	size_t page = w[0] >> HV_HEAD_PAGE;

	b->at = at;
	b->cls = (uint8_t)hv_head_class(w[0]);
	b->nwords = v->mark_words[b->cls];
	b->mark = w + 1;
	b->scan = w + 1 + b->nwords;
	b->base = b->cls == HV_MAPPING ? v->map[page].lo
				       : v->base + (page << PAGE_SHIFT);
	b->size = b->cls >= HV_LARGE ? w[HV_SIZE] : v->size[b->cls];
}

bool heapview_first(const struct heapview *v, struct hv_block *b)
{
	if (v->nwords <= FIRST_BLOCK)
		return false;
	heapview_block(v, FIRST_BLOCK, b);
	return true;
}

bool heapview_next(const struct heapview *v, struct hv_block *b)
{
	size_t at = b->at + hv_block_words(v, b->cls);

	if (at >= v->nwords)
		return false;
	heapview_block(v, (uint32_t)at, b);
	return true;
}

void heapview_unmarked(
	const struct heapview *v, uint64_t *objects, uint64_t *bytes)
{
	struct hv_block b;
	bool more;

	*objects = *bytes = 0;
	for (more = heapview_first(v, &b); more; more = heapview_next(v, &b))
		for (unsigned i = 0; i < b.nwords && b.cls != HV_MAPPING; i++) {
			uint64_t n = (uint64_t)__builtin_popcountll(~b.mark[i]);

			*objects += n;
			*bytes += n * b.size;
		}
}

static void check_block(const struct hv_block *b, const struct mspan *s)
{
	INVARIANT(s && s->base == b->base && mspan_elemsize(s) == b->size);
	INVARIANT(s->nelems <= b->nwords * 64u);
	for (unsigned i = 0; i < b->nwords; i++)
		INVARIANT(!(b->scan[i] & ~b->mark[i]));
	for (unsigned i = 0; i < b->nwords * 64u; i++) {
		bool object = s->state == MSPAN_LARGE
				      ? i == 0
				      : i < s->nelems && !mspan_isfree(s, i);

		INVARIANT(object || b->mark[i / 64] >> i % 64 & 1);
	}
}

void heapview_check(const struct heapview *v)
{
	struct hv_block b;
	bool more;
	uint32_t n = 0;

	for (more = heapview_first(v, &b); more; more = heapview_next(v, &b)) {
		n++;
		if (b.cls == HV_MAPPING)
			continue;
		check_block(&b, arena_span(b.base));
		for (size_t i = 0; i < mspan_bytes(arena_span(b.base));
			i += PAGE_SIZE) {
			uint64_t e = v->page[arena_page(b.base + i)];

			INVARIANT(e >> HV_BLOCK_SHIFT == b.at);
			INVARIANT((e & HV_PAGEOFF) == i >> PAGE_SHIFT);
		}
	}
	INVARIANT(n == v->nblocks);
}
