/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_CALLMEMO_H
#define GOSTAT_PROFILE_CALLMEMO_H

#include "profile/unwind_step.h"

/*
 * Whole stacks that a thread has seen, found by where a walk starts. See
 * callmemo.c; callstack.c is the only user, the thread the only owner.
 */
enum {
	MEMO_SLOTS = 1 << 9,
	MEMO_WORDS = 1 << 13, /* 64 KiB */
	MEMO_FRAMES = 255,    /* longer stacks are not kept */
	MEMO_TRIES = 4,
};

/* Where a walk starts, then what it reads: distance << 48 | value. */
struct memo_entry {
	uintptr_t pc, sp, bp;
	uint32_t id;
	uint16_t older; /* the next one of its slot, in words; 0: none */
	uint8_t n;	/* elements of word[] */
	bool any_bp;	/* the walk does not depend on bp */
	uint64_t word[];
};

struct callmemo {
	uint64_t room[MEMO_WORDS];
	uint16_t slot[MEMO_SLOTS];
	size_t used;	     /* words of room[]; the first is not used */
	size_t hits, misses; /* since it was empty */
	size_t pause;	     /* stacks not to be kept */
};

/* Where the words of a stack are told to be. */
enum { MEMO_SHIFT = 48 };
#define MEMO_VALUE(word) ((word) & (((uint64_t)1 << MEMO_SHIFT) - 1))

static ALWAYS_INLINE uint16_t *memo_slot(
	struct callmemo *m, const struct unwind_state *st)
{
	uint64_t h = (st->pc ^ st->sp << 20) * 0x9e3779b97f4a7c15;

	return &m->slot[h >> 55];
}

_Static_assert(MEMO_SLOTS == 1 << (64 - 55), "bits of a hash");

static ALWAYS_INLINE bool memo_holds(const struct memo_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (stack_word(e->sp + (e->word[i] >> MEMO_SHIFT) * 8) !=
			MEMO_VALUE(e->word[i]))
			return false;
	return true;
}

/* The id of the stack that a walk from st would find, or 0: not known. */
static ALWAYS_INLINE uint32_t memo_find(
	struct callmemo *m, const struct unwind_state *st)
{
	size_t at = *memo_slot(m, st);

	for (int i = 0; at && i < MEMO_TRIES; i++) {
		const struct memo_entry *e =
			(const struct memo_entry *)&m->room[at];

		if (e->pc == st->pc && e->sp == st->sp &&
			(e->any_bp || e->bp == st->bp) && memo_holds(e)) {
			m->hits++;
			return e->id;
		}
		at = e->older;
	}
	m->misses++;
	return 0;
}

/*
 * Begin to keep a stack of so many words; NULL if that is not to be. The
 * caller fills in word[] and n, and then calls memo_done().
 */
struct memo_entry *memo_begin(struct callmemo *m, size_t words);
void memo_done(struct callmemo *m, struct memo_entry *e);

/* Add what must stand at addr; false if that can't be expressed. */
static inline bool memo_word(
	struct memo_entry *e, uintptr_t addr, uintptr_t value)
{
	uintptr_t distance = addr - e->sp;

	if (distance >> 19 || distance & 7 || value >> MEMO_SHIFT)
		return false;
	e->word[e->n++] = distance >> 3 << MEMO_SHIFT | value;
	return true;
}

/* Forget everything. */
void memo_clear(struct callmemo *m);

#endif
