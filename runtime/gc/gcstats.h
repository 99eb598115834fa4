/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCSTATS_H
#define GOSTAT_GC_GCSTATS_H

#include "base/attrs.h"

/*
 * gcstats: what MemStats says of the collector, and a little more. Written by
 * cycles (gc.c), one at a time; read at any time.
 */
enum { GC_PAUSES = 256 };

/* What became of a cycle. */
enum gc_outcome {
	GC_ABORTED, /* the copy was over its budget, or died */
	GC_COMPLETED,
	GC_REFUSED, /* the world could not be stopped, or not be copied */
	NGCOUTCOME
};
enum { NGCREASON = 5 }; /* enum gc_reason */

struct gcstats {
	uint32_t numgc, numforced;
	uint64_t pause_total_ns;
	uint64_t pause_ns[GC_PAUSES];  /* newest: [(numgc + 255) % 256] */
	uint64_t pause_end[GC_PAUSES]; /* ns since 1970 */
	uint64_t last_gc;	       /* ns since 1970, 0: none */
	uint64_t next_gc;	       /* bytes; UINT64_MAX: off */
	double cpu_fraction;
	/* Beyond MemStats. */
	uint64_t cycles[NGCREASON][NGCOUTCOME];
	uint64_t marked_bytes; /* found reachable by the last cycle */
	int64_t cpu_ns;	       /* of all cycles */
	uint64_t reclaimed_objects, reclaimed_bytes; /* since start */
	uint64_t leaked_objects, leaked_bytes;	     /* last cycle's */
};

/*
 * One consistent set. Context: anywhere, signal handlers included: takes no
 * lock, and does not wait for a writer that it has interrupted.
 */
void gcstats_read(struct gcstats *s);

/*
 * Between these two what gcstats_begin() returns may be changed. gc.lock is held.
 */
struct gcstats *gcstats_begin(void);
void gcstats_end(void);

/* One cycle has ended: count it with its pause. Inside begin and end. */
void gcstats_cycle(
	struct gcstats *s, bool forced, uint64_t pause_ns, uint64_t end_ns);

/* In the child of fork: whoever was writing is not there. */
void gcstats_postfork_child(void);

#endif
