/* SPDX-License-Identifier: MIT */
/*
 * unwind: who called, and who called them.
 *
 *	      pc --rule_get()--> { CFA = rsp or rbp + n, rbp saved at CFA - m }
 *	  ...                    unwind_step.h: some 25 instructions a frame
 *	| locals  |<- rsp
 *	| rbp     |<- CFA - m
 *	| return  |<- CFA - 8  = the caller's pc
 *	| caller  |<- CFA      = the caller's rsp
 *
 * Two registers are followed, rsp and rbp; others matter only in frames of
 * hand-written code, and then everything is done again with all registers
 * (unwind_full.c). The odd cases are here:
 *
 *   wide    realigned stacks and the like: the CFA was itself saved
 *   signal  the kernel's frame has the interrupted registers; the stack may
 *	     change (sigaltstack)
 *   guess   code without unwind tables (a JIT's, old assembler): if rbp looks
 *	     like a frame pointer it is taken for one
 *
 * Not handled: code registered with __register_frame, split stacks, and
 * frames whose CFA is in a register that calls destroy.
 *
 * Invariants:
 *   I1  a word is loaded only from pages that a struct stackrange vouches for;
 *   I2  except through signal frames and loads, the CFA only moves up; so
 *       stacks that point to themselves end, and max bounds the rest.
 */
#include "profile/unwind.h"
#include "os/sysmem.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_step.h"

#include <ucontext.h>

/* A guessed frame larger than this is not believed. */
enum { MAX_GUESS = 1 << 20 };

/* Offsets from rsp at the trampoline; the kernel's ABI. */
enum { SIGNAL_BP = 120, SIGNAL_SP = 160, SIGNAL_PC = 168 };

struct own_text own_text;

void unwind_own_text(uintptr_t lo, uintptr_t hi)
{
	own_text.lo = lo;
	own_text.size = hi - lo;
}

bool unwind_is_own(uintptr_t pc)
{
	return !own_text.size || pc - own_text.lo < own_text.size;
}

void unwind_ucontext(struct unwind_regs *r, const void *ucontext)
{
	const greg_t *g = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;

	r->pc = (uintptr_t)g[REG_RIP] + 1;
	r->sp = (uintptr_t)g[REG_RSP];
	r->bp = (uintptr_t)g[REG_RBP];
}

/* To the frame above cfa; bp is at slot, unless that is 0. */
static enum step leave(struct unwind_state *st, struct stackrange *s,
	uintptr_t cfa, uintptr_t slot, enum step done)
{
	uintptr_t pc, bp = st->bp;

	/* The return address last: its range must be the one in use. */
	if ((slot && !stack_load(s, slot, &bp)) || !stack_load(s, cfa - 8, &pc))
		return STEP_LOST;
	*st = (struct unwind_state){
		.pc = pc, .sp = cfa, .bp = bp, .from = slot};
	return done;
}

static enum step leave_plain(
	struct unwind_state *st, struct stackrange *s, uint64_t rule)
{
	bool by_bp = RULE_KIND(rule) == RULE_BP;
	uintptr_t cfa = (by_bp ? st->bp : st->sp) + RULE_OFFSET(rule);
	uintptr_t slot = RULE_SLOT(rule) ? cfa - RULE_SLOT(rule) : 0;

	if (cfa <= st->sp || (slot && slot < st->sp))
		return STEP_LOST;
	return leave(st, s, cfa, slot, by_bp ? STEP_BP : STEP_SP);
}

static enum step leave_wide(
	struct unwind_state *st, struct stackrange *s, uint64_t rule)
{
	const struct rule_wide *w = rule_wide(rule);
	uintptr_t base = w->base_is_bp ? st->bp : st->sp, slot = 0;
	uintptr_t cfa = base + (uintptr_t)(intptr_t)w->off;

	if (w->load) {
		if (!stack_load(s, cfa, &cfa))
			return STEP_LOST;
		cfa += (uintptr_t)(intptr_t)w->add;
	} else if (cfa <= st->sp) {
		return STEP_LOST;
	}
	if (w->rbp == WIDE_RBP_AT_CFA)
		slot = cfa + (uintptr_t)(intptr_t)w->rbp_off;
	else if (w->rbp == WIDE_RBP_AT_BASE)
		slot = base + (uintptr_t)(intptr_t)w->rbp_off;
	return leave(st, s, cfa, slot,
		w->load		? STEP_ODD
		: w->base_is_bp ? STEP_BP
				: STEP_SP);
}

static enum step leave_signal(struct unwind_state *st, struct stackrange *s)
{
	struct unwind_state next = {.from = st->sp + SIGNAL_BP};

	if (!stack_load(s, st->sp + SIGNAL_BP, &next.bp) ||
		!stack_load(s, st->sp + SIGNAL_PC, &next.pc) ||
		!stack_load(s, st->sp + SIGNAL_SP, &next.sp))
		return STEP_LOST;
	next.pc++;
	if (!unwind_start(next.sp, s))
		return STEP_LOST;
	*st = next;
	return STEP_ODD;
}

static enum step leave_guess(struct unwind_state *st, struct stackrange *s)
{
	uintptr_t bp = st->bp, pc, outer;

	if (bp & 7 || bp - st->sp >= MAX_GUESS || !stack_load(s, bp, &outer) ||
		!stack_load(s, bp + 8, &pc) || pc < OS_PAGE || pc >> 47)
		return STEP_LOST;
	/* Into code of a JIT only if that frame has a frame pointer, too. */
	if (!cfi_known(pc - 1) && (outer & 7 || outer - bp - 1 >= MAX_GUESS))
		return STEP_LOST;
	/*
	 * An ordinary step: all that was looked at is what a step by rbp looks
	 * at, and outer, which the next step will need if it decided here.
	 */
	return leave(st, s, bp + 16, bp, STEP_BP);
}

enum step unwind_step_slow(
	struct unwind_state *st, struct stackrange *s, uint64_t rule)
{
	switch (RULE_KIND(rule)) {
	case RULE_SP:
	case RULE_BP:
		return leave_plain(st, s, rule);
	case RULE_WIDE:
		return leave_wide(st, s, rule);
	case RULE_SIGNAL:
		return leave_signal(st, s);
	case RULE_END:
		return STEP_END;
	case RULE_GUESS:
		return leave_guess(st, s);
	case RULE_FULL:
		return STEP_FULL;
	case RULE_NONE:
		break;
	}
	return STEP_NONE;
}

size_t unwind(const struct unwind_regs *r, struct stackrange *s, uintptr_t *pc,
	size_t max)
{
	struct unwind_state st = {.pc = r->pc, .sp = r->sp, .bp = r->bp};
	enum step step = STEP_SP;
	size_t n = 0, full;

	if (!unwind_start(st.sp, s)) {
		if (max)
			pc[n++] = r->pc;
		return n;
	}
	while (n < max && step < STEP_END) {
		pc[n++] = st.pc;
		step = unwind_step(&st, s);
	}
	if (step == STEP_NONE && n)
		n--;
	if (step == STEP_FULL) {
		full = unwind_full(r, s, pc, max);
		n = MAX(n, full);
	}
	return n;
}

size_t unwind_program(const struct unwind_regs *r, uintptr_t *pc, size_t max)
{
	struct unwind_state st = {.pc = r->pc, .sp = r->sp, .bp = r->bp};
	struct unwind_regs outside = *r;
	struct stackrange s = {0};

	if (unwind_start(st.sp, &s) && unwind_skip_own(&st, &s))
		outside = (struct unwind_regs){
			.pc = st.pc, .sp = st.sp, .bp = st.bp};
	return unwind(&outside, &s, pc, max);
}

NOINLINE size_t unwind_here(uintptr_t *pc, size_t max)
{
	struct unwind_regs r;

	unwind_caller(&r);
	return unwind_program(&r, pc, max);
}

void unwind_flush(void)
{
	rule_flush();
}
