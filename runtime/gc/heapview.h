/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_HEAPVIEW_H
#define GOSTAT_GC_HEAPVIEW_H

#include "alloc/arena.h"
#include "gc/roots.h"

/*
 * heapview: the frozen heap as the marker sees it. See heapview.c for the
 * picture.
 */

/* Class codes of blocks: those of the allocator, and two more. */
enum {
	HV_NONE = 0, /* pages without a span */
	HV_LARGE = NSIZECLASS,
	HV_MAPPING,
	HV_NCLASS,
};

/* One entry a page: block << 32 | class << 25 | pages since the span began. */
enum { HV_CLASS_SHIFT = 25, HV_BLOCK_SHIFT = 32 };
#define HV_PAGEOFF ((1u << HV_CLASS_SHIFT) - 1)

/* Bits of a block's first word; its upper half is a page or mapping number. */
enum { HV_QUEUED = 1, HV_HEAD_CLASS = 8, HV_HEAD_PAGE = 32 };

enum {
	HV_FIRST = 64,	    /* index of the first block; block 0 is before it */
	HV_LARGE_WORDS = 5, /* head, mark, scan, progress, size */
	HV_MAX_WORDS = 17,  /* of mark bits of any block */
};

struct heapview {
	uintptr_t base; /* window_base */
	size_t npages;	/* entries in page[] */
	uint64_t *page; /* what lies there */
	uint64_t *word; /* blocks, one after the other */
	size_t nwords;	/* used words */
	uint32_t nblocks;

	/* By class code. */
	uint32_t magic[HV_NCLASS];
	uint32_t size[HV_NCLASS]; /* bytes of a slot; 0: see the block */
	uint8_t mark_words[HV_NCLASS];

	/* Mappings that are objects; where their blocks are. */
	const struct rootset *roots;
	const struct root_mapping *map;
	size_t nmaps;
	uint32_t map_block; /* the first one's */

	uint64_t objects, bytes;       /* with the program, mappings left out */
	size_t page_bytes, word_bytes; /* mapped */
};

/* A block, taken apart. */
struct hv_block {
	uint32_t at; /* its index in word[] */
	uint8_t cls;
	uint8_t nwords; /* of mark, and of scan */
	uintptr_t base;
	size_t size;	/* of an object */
	uint64_t *mark; /* 1: reached, or no object */
	uint64_t *scan; /* 1: its words were looked at, or no object */
};

/* One object: bit slot of a block. */
struct hv_slot {
	uint32_t block;
	uint32_t slot;
};

/*
 * Take stock of the heap. Nobody may change it meanwhile: the world is
 * stopped (stw.h), or this is a copy of such a state. The mappings of roots
 * become objects; roots may be NULL and must stay where it is.
 *
 * False: no memory; nothing is left behind. Context: takes no lock, allocates
 * nothing; memory comes from sysmem (SYS_GC).
 */
bool heapview_init(struct heapview *v, const struct rootset *roots);
void heapview_free(struct heapview *v);

/*
 * The object that contains p (one past the end does not count), a mapping
 * included, if it is not marked. False: it is, or there is no object.
 */
bool heapview_find(const struct heapview *v, uintptr_t p, struct hv_slot *s);

/* Block number of the mapping that contains p, or 0. */
uint32_t heapview_mapping(const struct heapview *v, uintptr_t p);

/* The object that is mapping i. */
struct hv_slot heapview_map_slot(const struct heapview *v, size_t i);

void heapview_block(const struct heapview *v, uint32_t at, struct hv_block *b);

/* The first block, and the one after b; false: there is none. */
bool heapview_first(const struct heapview *v, struct hv_block *b);
bool heapview_next(const struct heapview *v, struct hv_block *b);

static inline uintptr_t hv_address(const struct hv_block *b, uint32_t slot)
{
	return b->base + (uintptr_t)slot * b->size;
}

static ALWAYS_INLINE size_t hv_range(const struct heapview *v)
{
	return v->npages << PAGE_SHIFT;
}

static ALWAYS_INLINE unsigned hv_head_class(uint64_t head)
{
	return head >> HV_HEAD_CLASS & 0xff;
}

/* Words of a block of this class, its head included. */
static inline size_t hv_block_words(const struct heapview *v, unsigned cls)
{
	return cls >= HV_LARGE ? HV_LARGE_WORDS : 1 + 2u * v->mark_words[cls];
}

/* Which bits of word i of a block of small objects stand for slots. */
static inline uint64_t hv_slots(unsigned cls, unsigned i)
{
	unsigned n = sizeclasses[cls].nelems;

	n -= MIN(i * 64, n);
	return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Large blocks and mappings: bytes that have been scanned, and all of them. */
enum { HV_PROGRESS = 3, HV_SIZE };

/*
 * Objects that are not marked, mappings left out. Everything not yet reached
 * counts, so this is what leaked when a mark has ended.
 */
void heapview_unmarked(
	const struct heapview *v, uint64_t *objects, uint64_t *bytes);

/* Walks entries and blocks against the allocator; aborts on a mismatch. */
void heapview_check(const struct heapview *v);

#endif
