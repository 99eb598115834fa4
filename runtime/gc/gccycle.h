/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GCCYCLE_H
#define GOSTAT_GC_GCCYCLE_H

#include "base/lock.h"
#include "gc/carry.h"
#include "gc/gc.h"
#include "gc/gcjob.h"
#include "gc/snapshot.h"

/*
 * gccycle: what gc.c, gcstop.c and gcend.c share. There is one cycle at a
 * time, so there is one of these.
 */
struct cycle {
	enum gc_reason reason;
	bool leaks;    /* sort and keep what was not reached */
	bool in_place; /* no copy: marked while the world stood */
	bool by_parts; /* no copy: marked ahead of the stop (ahead.c) */
	bool at_rest;  /* the world still stands: the process ends */
	struct gcjob job;
	uint64_t heap_start;	/* HeapAlloc */
	uint64_t goal;		/* that the heap had to reach */
	int64_t pause_ns;	/* of one stop or two */
	int64_t begun_ns;	/* when it was first stopped, monotonic */
	int64_t started_ns;	/* the world again */
	int64_t mark_ns, cpu_ns;
	enum gc_outcome outcome;

	struct stw stw;
	struct rootset roots;
	struct carry carry;
	struct snapshot snapshot;
	struct ahead ahead;
};

/*
 * gcstop.c: from the preparations until the world runs again. NULL: all is done
 * (c->in_place), the copy has begun, or (c->by_parts) ahead_mark() is next. Else why nothing was done.
 */
const char *gcstop(struct cycle *c);

/*
 * gcstop.c: the second stop of a cycle by parts, when ahead_mark() is done. NULL
 * or why there is no result; the world runs.
 */
const char *gcstop_again(struct cycle *c);

/* Try for so long: at the end of the process a lock's holder may be dead. */
bool gcstop_lock_within(struct lock *l, int64_t ns);

/* gcend.c: the marker has its verdict; make it true, and known. */
void gcend(struct cycle *c);

/* gcend.c, around fork. */
void gcend_prefork(void);
void gcend_postfork_parent(void);
void gcend_postfork_child(void);

/* gcpoll.c: at load, and in the child of a fork. */
void gcpoll_start(void);

/* Nanoseconds since then. */
int64_t gcpoll_age_ns(void);

/* gcpoll.c: HeapAlloc at which GOMEMLIMIT calls for a cycle, now. */
uint64_t gcpoll_ceiling(void);

/* gc.c: that has changed, maybe. And how long the last cycle took. */
void gc_look_at_limit(void);
int64_t gc_last_ns(void);

static inline void gc_event(enum gc_event e, uint64_t a, uint64_t b)
{
	if (gc_hooks.event)
		gc_hooks.event(e, a, b);
}

enum { GC_LAST_NS = 1000000000 }; /* to wait for locks at the end */

#endif
