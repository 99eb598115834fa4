/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_MSPAN_H
#define GOSTAT_ALLOC_MSPAN_H

/*
 * mspan: a run of pages, cut in equal slots or holding one large object.
 *
 *	base                                       base + npages * PAGE_SIZE
 *	| slot 0 | slot 1 | ... | slot nelems-1 | tail |
 *
 * Descriptor and bits live outside the heap: a stray write of the program
 * cannot damage them, and a free page is never touched.
 *
 * Invariants (mspan_check):
 *   I1  bit i of freebits is set exactly when slot i lies in the span, that is
 *       neither with the program nor in a magazine nor in a transfer batch;
 *   I2  nfree is the number of set bits; bits at and above nelems are clear;
 *   I3  a large span has nelems 1, elemsize npages * PAGE_SIZE, and no bits:
 *       its state says all.
 */

#include "base/atomics.h"
#include "base/attrs.h"
#include "alloc/sizeclasses.h"

enum { PAGE_SHIFT = 13, PAGE_SIZE = 1 << PAGE_SHIFT };

enum mspan_state {
	MSPAN_FREE = 0, /* descriptor unused */
	MSPAN_SMALL,	/* slots of one size class */
	MSPAN_LARGE,	/* one object */
	MSPAN_CACHED,	/* freed large span, in runcache */
};

/* What is known of one object. */
struct objinfo {
	uint32_t stack;	 /* stacktab id; 0: not recorded; or the next one */
	uint32_t unused : 24; /* slot bytes - requested bytes */
	uint32_t shift : 8;   /* the sample stands for 1 << shift; tick.c */
};

/* The program says that the object is no leak (gc/leakscope.h). */
#define OBJINFO_IGNORED UINT32_MAX

struct mspan {
	uintptr_t base;
	uint32_t npages;
	uint32_t elemsize_small; /* slot bytes; 0 for large spans */
	uint32_t magic;		 /* of the size class; 0 for large */
	uint16_t nelems;
	uint16_t nfree;
	uint8_t state;	  /* enum mspan_state */
	uint8_t sizeclass; /* 0 for large */
	uint8_t listed;	  /* on its mcentral's partial list */
	uint8_t sampled;  /* its frees take the slow path (page code 0) */
	uint8_t zeroed;	  /* large: the pages read as zero */
	uint8_t emptied;  /* large: its memory was moved to another span */
	uint8_t gcflags;  /* owned by gc/ */
	uint16_t nwords;  /* of freebits */
	uint32_t serial;  /* changes with every use of the descriptor */
	uint32_t guard;	  /* large: pages without access in front, 1 behind */
	struct mspan *next, *prev; /* partial list, or free descriptors */
	struct objinfo *info; /* one entry a slot, or NULL; see objinfo.c */
	struct objinfo one;   /* the entry of a large object */
	uint64_t freebits[]; /* nwords; none for large spans */
};

static ALWAYS_INLINE size_t mspan_bytes(const struct mspan *s)
{
	return (size_t)s->npages << PAGE_SHIFT;
}

static ALWAYS_INLINE size_t mspan_elemsize(const struct mspan *s)
{
	return s->elemsize_small ? s->elemsize_small : mspan_bytes(s);
}

/*
 * The smallest class that holds want bytes and aligns its slots so; NSIZECLASS
 * if there is none, or if the request needs pages.
 */
static ALWAYS_INLINE unsigned sizeclass_for(size_t align, size_t want)
{
	uint64_t above;
	unsigned c;

	if (align > PAGE_SIZE || want > MAX_SMALL)
		return NSIZECLASS;
	want = MAX(want, align); /* no class is aligned to more than its size */
	c = want <= 1024 ? class_by_8[(want + 7) / 8]
			 : class_by_128[(want + 127) / 128];
	if (align <= 16) /* all but class 1, which is smaller */
		return c;
	above = class_aligned[__builtin_ctzll(align)] >> (c - 4);
	return above ? c + (unsigned)__builtin_ctzll(above) : NSIZECLASS;
}

/* Slot that holds address p, which lies in the span; may be the tail. */
static ALWAYS_INLINE uint32_t mspan_index(const struct mspan *s, uintptr_t p)
{
	return (uint32_t)(((p - s->base) * (uint64_t)s->magic) >> 32);
}

/*
 * Without the class's lock: right for a slot whose object the caller owns, a
 * good guess for any other.
 */
static ALWAYS_INLINE bool mspan_isfree(const struct mspan *s, uint32_t i)
{
	return load_relaxed(&s->freebits[i / 64]) >> (i % 64) & 1;
}

#endif
