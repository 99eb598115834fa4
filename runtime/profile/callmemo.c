/* SPDX-License-Identifier: MIT */
/*
 * callmemo: stacks that were seen before, without walking them.
 *
 * A walk is a function of the registers it starts with and of the words it
 * reads. So a stack is the same as an earlier one if it starts at the same pc,
 * rsp and (if that matters) rbp, and each word that the earlier walk read
 * holds what it held then. Programs allocate from the same places over and
 * over, at the same depths: sqlite3 finds 99 of 100 stacks here.
 *
 *	slot[hash of pc, rsp] -> entry: pc, rsp, rbp, id
 *	                                [distance from rsp | value] * frames
 *	                         older: the next entry of this slot
 *
 * Entries are as long as their stacks and lie one behind the other. When there
 * is no more room everything is forgotten; what is still in use comes back
 * soon. Where hits are few (gcc's cc1) nothing is kept for a while.
 *
 * Invariants:
 *   I1  older is smaller than the entry's own place, so chains end;
 *   I2  addresses of an entry were read by a walk since the last clear: the
 *       owner clears when pages of stacks may have gone, code has changed, or
 *       modules have come or gone, which changes ids.
 *
 * Locks: none; part of a struct callstack.
 *
 * Rejected: a ring that overwrites the oldest entry, since every entry would
 * have to be found again from its successors; entries of one size, of which
 * the outer half is empty.
 */
#include "profile/callmemo.h"

#include <string.h>

enum {
	PAUSE = 1 << 13, /* stacks not kept where it did not pay */
};

void memo_clear(struct callmemo *m)
{
	memset(m->slot, 0, sizeof(m->slot));
	m->used = m->hits = m->misses = 0;
}

struct memo_entry *memo_begin(struct callmemo *m, size_t words)
{
	struct memo_entry *e;

	if (m->pause) {
		m->pause--;
		return NULL;
	}
	if (words > UINT8_MAX)
		return NULL;
	if (!m->used)
		m->used = 1;
	if (m->used + sizeof(*e) / 8 + words > MEMO_WORDS) {
		if (m->hits < m->misses)
			m->pause = PAUSE;
		memo_clear(m);
		return NULL;
	}
	e = (struct memo_entry *)&m->room[m->used];
	e->n = 0;
	return e;
}

void memo_done(struct callmemo *m, struct memo_entry *e)
{
	struct unwind_state st = {.pc = e->pc, .sp = e->sp};
	uint16_t *slot = memo_slot(m, &st);

	m->used += sizeof(*e) / 8 + e->n;
	e->older = *slot;
	*slot = (uint16_t)((uint64_t *)e - m->room);
}
