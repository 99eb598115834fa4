/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_STEP_H
#define GOSTAT_PROFILE_UNWIND_STEP_H

#include "profile/stackrange.h"
#include "profile/unwind_rule.h"

/*
 * One step out of a frame. For unwind.c and callstack.c; inline, because the
 * loops around it are where recording every allocation spends its time.
 */

/*
 * A word of any stack. Written out, because sanitizers poison parts of stacks,
 * and an attribute against that does not survive inlining.
 */
static ALWAYS_INLINE uintptr_t stack_word(uintptr_t addr)
{
	uintptr_t v;

	__asm__("movq %1, %0" : "=r"(v) : "m"(*(const uintptr_t *)addr));
	return v;
}

struct unwind_state {
	uintptr_t pc, sp, bp;
	uintptr_t from; /* where the last step found bp; 0: bp is as before */
};

enum step {
	STEP_SP,   /* CFA came from rsp */
	STEP_BP,   /* CFA came from rbp */
	STEP_ODD,  /* done, but the return address may be elsewhere */
	STEP_END,  /* this was the outermost frame */
	STEP_NONE, /* this is no frame: pc is no address of code */
	STEP_LOST, /* no way to go on */
	STEP_FULL, /* unwind_full() could */
};

/* Read a word, if it is known to be readable. */
static inline bool stack_load(
	struct stackrange *s, uintptr_t addr, uintptr_t *v)
{
	if (unlikely(addr & 7 || addr - s->lo >= s->hi - s->lo) &&
		!stackrange_find(s, addr))
		return false;
	*v = stack_word(addr + s->shift);
	return true;
}

/* For everything that unwind_step() does not do itself. */
COLD enum step unwind_step_slow(
	struct unwind_state *st, struct stackrange *s, uint64_t rule);

/* Make sp fit to start from: see unwind_step(). False if it can't be read. */
static inline bool unwind_start(uintptr_t sp, struct stackrange *s)
{
	if (likely(!(sp & 7) && sp - s->lo < s->hi - s->lo &&
		    s->epoch == load_relaxed(&stackrange_epoch)))
		return true;
	return stackrange_find(s, sp);
}

/*
 * By way of a copy: *st can then live in registers. Only if this is inlined: a
 * quarter of the time of a capture goes into states that were stored as words
 * and are read as pairs of words.
 */
static ALWAYS_INLINE enum step unwind_step_odd(
	struct unwind_state *st, struct stackrange *s, uint64_t rule)
{
	struct unwind_state copy = *st;
	enum step step = unwind_step_slow(&copy, s, rule);

	*st = copy;
	return step;
}

/*
 * Replace *st by the caller's. On STEP_END and above it is unchanged.
 * s->lo <= st->sp <= s->hi holds before and after.
 */
static ALWAYS_INLINE enum step unwind_step(
	struct unwind_state *st, struct stackrange *s)
{
	uint64_t rule = rule_get(st->pc - 1);
	enum rule_kind kind = RULE_KIND(rule);
	uintptr_t base = kind == RULE_BP ? st->bp : st->sp;
	uintptr_t ra = base + RULE_OFFSET(rule) - 8;
	uintptr_t slot = RULE_SLOT(rule), at = ra + 8 - slot;
	uintptr_t up = ra - st->sp;

	/*
	 * Both words must lie in [sp, hi). For RULE_SP the lower bound holds
	 * by construction of the rule. Rotating puts a misaligned address out
	 * of bounds.
	 */
	if (unlikely(kind - RULE_SP > RULE_BP - RULE_SP || at < st->sp ||
		     (up >> 3 | up << 61) >= (s->hi - st->sp) >> 3))
		return unwind_step_odd(st, s, rule);
	st->pc = stack_word(ra);
	st->sp = ra + 8;
	st->from = slot ? at : 0;
	if (slot)
		st->bp = stack_word(at);
	return (enum step)(kind - RULE_SP);
}

/* See unwind_own_text(). */
struct own_text {
	uintptr_t lo, size;
};
extern HIDDEN struct own_text own_text;

/* Step out of this library; false if that can't be done. */
static ALWAYS_INLINE bool unwind_skip_own(
	struct unwind_state *st, struct stackrange *s)
{
	while (unlikely(st->pc - own_text.lo < own_text.size))
		if (unwind_step(st, s) >= STEP_END)
			return false;
	return true;
}

#endif
