/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_STACKCOPY_H
#define GOSTAT_GC_STACKCOPY_H

#include "gc/stw.h"
#include "profile/unwind.h"

/*
 * The stacks of all threads at one moment, to be looked at when the threads run
 * again:
 *
 *	struct stackcopies c;
 *
 *	if (stackcopy_take(&c) == STW_OK) {
 *		for (i = 0; i < c.n; i++)
 *			unwind_copied(&c.v[i].at, ...);
 *		stackcopy_free(&c);
 *	}
 */
struct stackcopy {
	int tid;
	uint32_t how;  /* enum stw_how; STW_RUNNING: nothing else is known */
	uintptr_t tcb; /* thread descriptor, 0: not known */
	struct unwind_copy at;
};

struct stackcopies {
	struct stackcopy *v;
	unsigned n;
	int64_t pause_ns; /* how long the first to stop was at rest */
	char *mem;	  /* stackcopy.c's own, as what follows */
	size_t bytes, used;
	size_t most; /* bytes of one piece */
	unsigned cap;
};

enum {
	STACKCOPY_MOST = 256 << 10, /* of one stack, from its inner end */
	STACKCOPY_ALL = 32 << 20,   /* of all, as long as each has a page */
};

/*
 * Stop the world, copy and let it go: every thread but the caller and the
 * library's helper. On anything but STW_OK nothing has happened. Context: as
 * stw_stop().
 */
enum stw_result stackcopy_take(struct stackcopies *c);

void stackcopy_free(struct stackcopies *c);

#endif
