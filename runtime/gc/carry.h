/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_CARRY_H
#define GOSTAT_GC_CARRY_H

#include "gc/stw.h"

/*
 * carry: threads' stacks, taken into a copy of the process by hand.
 *
 *	carry_prepare(c)	before the stop: room
 *	stw_stop(w)
 *	carry_pack(c, w)	what is in use is put away, clone leaves it out
 *	clone			... in the copy, first of all: carry_unpack(c)
 *	carry_done(c)		forks copy them again
 *	stw_start(w)
 *	carry_free(c)
 *
 * Nobody else sees a difference: in the copy the used part of each stack is
 * where it was. Without memory for it nothing is carried, and clone does it.
 */
struct carry {
	struct carried *v; /* NULL: no room */
	char *bytes;
	size_t n, most;	   /* stacks */
	size_t used, room; /* of bytes */
	size_t mapped;	   /* at v */
};

void carry_prepare(struct carry *c);

/* World stopped. */
void carry_pack(struct carry *c, const struct stw *w);
void carry_done(struct carry *c);

/* In the copy. False: no memory, the stacks are not there. */
bool carry_unpack(const struct carry *c);

void carry_free(struct carry *c);

#endif
