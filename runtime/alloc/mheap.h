/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_MHEAP_H
#define GOSTAT_ALLOC_MHEAP_H

#include "alloc/fixalloc.h"
#include "alloc/mspan.h"
#include "base/lock.h"

/*
 * Records of an mcache, and so page codes: one for each size class, then one
 * for each page count of a large object that magazines may hold. Record 0 is
 * never filled: it sends free() to the slow path.
 */
enum {
	MAX_RUN = 128, /* pages: 1 MiB; larger objects bypass magazines */
	NREC = NSIZECLASS + MAX_RUN,
	REC_SIZE = 32, /* sizeof(struct mcache_rec) */
};

static ALWAYS_INLINE unsigned rec_of_run(size_t npages)
{
	return NSIZECLASS - 1 + (unsigned)npages;
}

/* Bytes of an object of record r. */
static ALWAYS_INLINE size_t rec_bytes(unsigned r)
{
	return r < NSIZECLASS ? sizeclasses[r].size
			      : (size_t)(r - NSIZECLASS + 1) << PAGE_SHIFT;
}

struct mheap {
	struct lock lock;
	bool ready;
	bool harden;	     /* GOSTAT_HARDEN=1 */
	bool record_objects; /* spans carry objinfo: every stack is kept */

	/* Pages, written under lock, read by snapshots at any time. */
	size_t pages_inuse;    /* in spans, and guarding them */
	size_t pages_guard;    /* of them */
	size_t pages_idle;     /* free, with memory */
	size_t pages_scav;     /* free, without memory */
	uint64_t scavenged_total; /* bytes given back so far */

	/* Large objects that are out, by page count; [0]: above MAX_RUN. */
	uint64_t run_out[MAX_RUN + 1];
	/* Cumulative: those that became so long by a resize in place. */
	uint64_t run_resized[MAX_RUN + 1];
	uint64_t huge_out_bytes; /* of those above MAX_RUN */
	uint64_t huge_mallocs, huge_frees;
	uint64_t huge_malloc_bytes, huge_free_bytes;
	/* TotalAlloc by growing in place: neither malloc nor free. */
	uint64_t grown_bytes, shrunk_bytes;

	/* The collector's: on_goal() is called when pages_inuse gets there. */
	size_t gc_pages;
	void (*on_goal)(void);

	uint32_t serial;
	struct fixalloc spans[4]; /* by words of freebits: 0, 2, 8, 16 */
};

extern HIDDEN struct mheap mheap;

/* First use; true once the heap can serve requests. Any thread. */
bool mheap_init(void);

/*
 * Where it is defined (in the preload library): called before the first use,
 * while there is one thread, to read the environment. No lock is held.
 */
HIDDEN void mheap_on_start(void) __attribute__((weak));

/*
 * A span of a size class with every slot free, npages long: room for an object,
 * at most what the class says. NULL when the kernel or a limit refuses. sampled:
 * frees of its objects take the slow path. Context: mheap.lock not held.
 */
struct mspan *mheap_alloc_small(
	unsigned sizeclass, size_t npages, bool sampled);

/*
 * One large object of npages pages at a multiple of align pages. Its pages
 * read as zero if span->zeroed.
 */
struct mspan *mheap_alloc_large(size_t npages, size_t align, bool sampled);

/*
 * A large object that is not shared yet, or no longer, becomes one whose free
 * takes the slow path, with room for its objinfo; or an ordinary one again. Not
 * in record-all mode.
 */
void mheap_set_sampled(struct mspan *s, bool sampled);

/*
 * The same between pages that can't be touched: as many in front as align says,
 * one behind. sampled is set.
 */
struct mspan *mheap_alloc_guarded(size_t npages, size_t align);

/* Give span and pages back. Nothing of it may be in a magazine. */
void mheap_free_span(struct mspan *s);

/* Make a large object npages long where it stands; false: not possible. */
bool mheap_resize_large(struct mspan *s, size_t npages);

/*
 * Move the pages of large span from to the start of large span to, by page
 * table where the kernel can; from reads as zero afterwards. False: copy.
 */
bool mheap_move_pages(struct mspan *from, struct mspan *to);

/*
 * Return at least npages idle pages to the kernel if there are so many; the
 * number returned. Context: lock not held.
 */
size_t mheap_scavenge(size_t npages);

/* debug.FreeOSMemory without the collection. */
void mheap_free_os_memory(void);

/* Bytes that count against GOMEMLIMIT: Sys - HeapReleased, stacks left out. */
uint64_t mheap_mapped_ready(void);

/* Walks descriptors, tables and sums; aborts on a mismatch. */
void mheap_check(void);

#endif
