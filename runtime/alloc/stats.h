/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_STATS_H
#define GOSTAT_ALLOC_STATS_H

#include "alloc/mcache.h"

/* What the allocator knows about itself, in one consistent set. */
struct heapstats {
	struct heapstats_class {
		uint64_t mallocs, frees; /* cumulative objects */
		uint64_t nspans, npages, nslots; /* small classes only */
		uint64_t cached;	 /* in magazines: free for the program */
	} of[NREC];			 /* [0]: large objects above MAX_RUN */
	uint64_t mallocs, frees;	 /* of all sizes */
	uint64_t objects;		 /* mallocs - frees: out now */
	uint64_t total_alloc;		 /* slot bytes handed out, cumulative */
	uint64_t alloc;			 /* slot bytes out now */
	uint64_t inuse, idle, released;	 /* page bytes; idle includes released */
	uint64_t heap_sys;		 /* inuse + idle */
	uint64_t mspan_inuse, mcache_inuse;
	uint64_t nthreads; /* with an mcache */
	uint64_t scavenged_total;
};

/*
 * Exact when no allocation is going on; otherwise each count lags by the
 * operations in flight. These hold in every snapshot, by construction:
 *
 *	frees <= mallocs (also per class), alloc <= inuse, alloc <= total_alloc,
 *	released <= idle, inuse + idle == heap_sys
 *
 * and mallocs and total_alloc are never less than in an earlier snapshot.
 *
 * Stops nobody, takes no lock, may run in a signal handler.
 */
void heapstats_read(struct heapstats *h);

#endif
