/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCJOB_H
#define GOSTAT_GC_GCJOB_H

#include "gc/ahead.h"
#include "gc/carry.h"
#include "gc/gcstats.h"
#include "gc/leaklist.h"

/*
 * gcjob: the part of a cycle that runs where nothing moves: in the copy, or in
 * the process itself while the world is stopped.
 */
enum { GCJOB_FINALIZERS = 4096 }; /* found at most in one cycle */

/* In memory that the copy shares with its parent. */
struct gcjob_result {
	const char
		*error; /* why there is no result, or NULL: a static string */
	uint64_t objects, bytes;	    /* allocated when the world stood */
	uint64_t live_objects, live_bytes;  /* of them reached or ignored */
	uint64_t stack_bytes, global_bytes; /* of roots */
	/* From struct rootset; not all 0: the verdict is not to be trusted. */
	unsigned unstopped, noregs;
	uint64_t shared_unfrozen;
	unsigned rings;
	size_t nfinalizers;
	uintptr_t finalizer[GCJOB_FINALIZERS];
	struct leaklist list; /* what was not reached */
};

struct gcjob {
	struct ahead *ahead; /* what is known from before the stop, or NULL */
	struct rootset *roots; /* roots_freeze() has run */
	const struct stw *stw;
	const struct carry *carry; /* for a copy: the stacks */
	struct mark_options mark;
	uint32_t root_kinds; /* as for marker_roots() */
	bool mappings_live;  /* all mappings are roots, reached or not */
	bool finalizers;     /* look for objects to finalize */
	bool classes;	     /* sort leaks into direct and indirect */
	bool garbage;	     /* list garbage, unsorted */
	bool copy;	     /* this is the copy of a process */
	struct gcjob_result *result;
	size_t result_bytes; /* mapped at result, the list's room included */
};

/* Room for a result of the heap as it is now; false: no memory. */
bool gcjob_alloc(struct gcjob *j);
void gcjob_free(struct gcjob *j);

/* The list is written: give back the room that it has not used. */
void gcjob_trim(struct gcjob *j);

/* Do it. arg is the struct gcjob; for snapshot_take(). Returns 0. */
int gcjob_run(void *arg);

#endif
