/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCTRACE_H
#define GOSTAT_GC_GCTRACE_H

#include "base/fmt.h"

/* The figures of one cycle, for the line of GODEBUG=gctrace=1. */
struct gctrace {
	uint32_t number;
	int64_t since_start_ns;
	double cpu_fraction; /* of all CPU time since start, 0 to 1 */
	int64_t pause_ns;    /* the world stood */
	int64_t mark_ns;     /* the copy marked beside the program */
	int64_t cpu_ns;	     /* that it took */
	uint64_t heap_start, heap_end, heap_marked; /* bytes */
	uint64_t goal;				    /* UINT64_MAX: off */
	uint64_t stacks, globals;		    /* bytes of roots */
	unsigned procs;
	bool forced;
};

/*
 * Milliseconds as in Go: whole ones from 10 on; below, two significant digits,
 * but no more than three decimals.
 */
void gctrace_ms(struct fmt *f, int64_t ns);

/* Go's line, with its newline. */
void gctrace_line(struct fmt *f, const struct gctrace *t);

#endif
