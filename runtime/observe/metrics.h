/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_METRICS_H
#define GOSTAT_OBSERVE_METRICS_H

#include "observe/emit.h"

/*
 * The /metrics page: the go_ families of emit.h, this library's own gostat_
 * families from a plain struct, and the process_ families of Prometheus'
 * client libraries. Context: anywhere (6 KiB of stack); process_ families open
 * files of /proc.
 */

/* Why a cycle was started, and what became of it; order of the labels. */
enum metrics_reason {
	METRICS_FORCED,	  /* somebody asked */
	METRICS_HEAP,	  /* the heap reached its goal */
	METRICS_LIMIT,	  /* near the memory limit */
	METRICS_PERIODIC, /* two minutes without one */
	METRICS_NREASON
};
enum metrics_outcome {
	METRICS_ABORTED, /* over its budget, or the snapshot died */
	METRICS_COMPLETED,
	METRICS_REFUSED, /* no snapshot could be made */
	METRICS_NOUTCOME
};

/* Upper bounds of the pause histogram in ns; the last bucket has none. */
enum { METRICS_NPAUSE = 12 };
extern const uint64_t metrics_pause_bounds[METRICS_NPAUSE];

/* The bucket for a pause: 0 to METRICS_NPAUSE. */
unsigned metrics_pause_bucket(uint64_t ns);

/* One size class; all counts in objects. */
struct metrics_class {
	uint64_t size;	      /* of a slot, bytes; 0: all large objects */
	uint64_t allocs, frees;
	uint64_t live_bytes;  /* slots that are handed out */
	uint64_t inuse_bytes; /* pages that the class occupies */
};

enum { METRICS_NCLASS = 80 };

struct metrics {
	/* The last completed cycle's findings. */
	uint64_t leaked_objects, leaked_bytes;

	/* Since the process started. */
	uint64_t cycles[METRICS_NREASON][METRICS_NOUTCOME];
	uint64_t pauses[METRICS_NPAUSE + 1]; /* each in one bucket only */
	uint64_t pause_total_ns;
	uint64_t snapshots_aborted;
	uint64_t scavenged_bytes;
	uint64_t profile_samples;
	uint64_t dump_errors;
	uint64_t trace_dropped;

	unsigned nclasses;
	struct metrics_class class[METRICS_NCLASS];
};

/* Size classes, the scavenger's total, samples: from allocator and profile. */
void metrics_read_heap(struct metrics *s);

/* gostat_ families, sorted by name. */
void metrics_gostat(struct fmt *f, const struct metrics *s, bool openmetrics);

/* process_ families, sorted by name; those that can't be read are left out. */
void metrics_process(struct fmt *f, bool openmetrics);

/* The whole page, "# EOF" included where it belongs. */
void metrics_page(struct fmt *f, const struct gostat_memstats *m,
	const struct emit_env *env, const struct metrics *s, bool openmetrics);

/* The Content-Type of a page. */
const char *metrics_content_type(bool openmetrics);

#endif
