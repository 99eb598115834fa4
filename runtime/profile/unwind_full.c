/* SPDX-License-Identifier: MIT */
/*
 * unwind_full: the stack with all registers, by the book.
 *
 * The lazy binder of the dynamic loader keeps its CFA in rbx, crypto code has
 * its in whatever was free, and frames that a signal interrupted may need any
 * register. Such frames are a handful in a program, but what lies outside of
 * them shall not be lost. So the walk starts anew in this file's own frame,
 * where all callee-saved registers are at hand, and interprets the whole row
 * of the table for every frame.
 *
 * A thread that was brought to rest is such a frame, too, and what was copied of
 * its stack is all there is to read (struct stackpiece). Its outermost frames
 * may be missing, and code may have been unloaded since: the tables are only
 * read while the loader holds still.
 *
 * Nothing is remembered from frame to frame: 0.5 to 1 microsecond each.
 */
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_expr.h"
#include "profile/unwind_step.h"

#include <string.h>
#include <sys/auxv.h>

/* Frames of this library between here and r, at most. */
enum { MAX_OWN = 32 };

/* Registers that a called function keeps, rsp and the return address. */
#define CALLEE_SAVED                                                           \
	(1u << CFI_RBX | 1u << CFI_RBP | 1u << CFI_RSP | 0xf000u | 1u << CFI_RA)

struct full {
	uintptr_t reg[CFI_NREG]; /* by DWARF number */
	uint32_t valid;		 /* bit r: reg[r] is known */
};

/* From the kernel's signal frame at rsp, in the order of DWARF numbers. */
static enum step leave_signal(struct full *f, struct stackrange *s)
{
	static const uint8_t at[CFI_NREG] = {144, 136, 152, 128, 112, 104, 120,
		160, 40, 48, 56, 64, 72, 80, 88, 96, 168};
	uintptr_t sp = f->reg[CFI_RSP], reg[CFI_NREG];

	for (size_t i = 0; i < CFI_NREG; i++)
		if (!stack_load(s, sp + at[i], &reg[i]))
			return STEP_LOST;
	memcpy(f->reg, reg, sizeof(reg));
	f->reg[CFI_RA]++;
	f->valid = (1u << CFI_NREG) - 1;
	return STEP_ODD;
}

static enum step leave_guess(struct full *f, struct stackrange *s)
{
	struct unwind_state st = {.pc = f->reg[CFI_RA],
		.sp = f->reg[CFI_RSP],
		.bp = f->reg[CFI_RBP]};
	enum step step;

	if (!unwind_start(st.sp, s))
		return STEP_LOST;
	step = unwind_step_slow(&st, s, RULE_GUESS);
	if (step < STEP_END) {
		f->reg[CFI_RA] = st.pc;
		f->reg[CFI_RSP] = st.sp;
		f->reg[CFI_RBP] = st.bp;
		f->valid = 1u << CFI_RA | 1u << CFI_RSP | 1u << CFI_RBP;
	}
	return step;
}

/* The value of register r in the caller; false: unknown. */
static bool caller_reg(const struct full *f, const struct expr_env *env,
	const struct cfi_row *row, unsigned r, uintptr_t cfa, uintptr_t *v)
{
	uintptr_t arg = (uintptr_t)row->arg[r];
	struct expr e;

	switch ((enum cfi_how)row->how[r]) {
	case CFI_SAME:
		*v = r == CFI_RSP ? cfa : f->reg[r];
		return r == CFI_RSP || (f->valid & CALLEE_SAVED) >> r & 1;
	case CFI_AT_CFA:
		return stack_load(env->range, cfa + arg, v);
	case CFI_IS_CFA:
		*v = cfa + arg;
		return true;
	case CFI_REGISTER:
		*v = arg < CFI_NREG ? f->reg[arg] : 0;
		return arg < CFI_NREG && f->valid >> arg & 1;
	case CFI_AT_EXPR:
	case CFI_IS_EXPR:
		if (!expr_eval((const void *)arg, env, &cfa, &e))
			return false;
		*v = (uintptr_t)e.add;
		return row->how[r] == CFI_IS_EXPR ||
		       stack_load(env->range, (uintptr_t)e.add, v);
	case CFI_UNDEFINED:
		break;
	}
	return false;
}

static enum step leave_row(
	struct full *f, struct stackrange *s, const struct cfi_row *row)
{
	struct expr_env env = {.reg = f->reg,
		.valid = f->valid,
		.pc = f->reg[CFI_RA] - 1,
		.range = s};
	struct full next = {0};
	uintptr_t cfa;
	struct expr e;

	if (row->how[CFI_RA] == CFI_UNDEFINED)
		return STEP_END;
	if (row->cfa_how == CFI_REGISTER) {
		if (!(f->valid >> row->cfa_reg & 1))
			return STEP_LOST;
		cfa = f->reg[row->cfa_reg] + (uintptr_t)row->cfa_arg;
	} else {
		if (!expr_eval((const void *)row->cfa_arg, &env, NULL, &e))
			return STEP_LOST;
		cfa = (uintptr_t)e.add;
	}
	for (unsigned r = 0; r < CFI_NREG; r++)
		if (caller_reg(f, &env, row, r, cfa, &next.reg[r]))
			next.valid |= 1u << r;
	if (!(next.valid >> CFI_RA & 1) || !(next.valid >> CFI_RSP & 1))
		return STEP_LOST;
	*f = next;
	return STEP_ODD;
}

static enum step full_step(struct full *f, struct stackrange *s)
{
	uintptr_t at = f->reg[CFI_RA] - 1;
	struct cfi_row row;

	switch (RULE_KIND(rule_get(at))) {
	case RULE_NONE:
		return STEP_NONE;
	case RULE_END:
		return STEP_END;
	case RULE_SIGNAL:
		return leave_signal(f, s);
	case RULE_GUESS:
		return leave_guess(f, s);
	default:
		break;
	}
	return cfi_find(at, &row) ? leave_row(f, s, &row) : STEP_LOST;
}

/* From f on, which is the first to be noted. *step says how it ended. */
static size_t walk(struct full *f, struct stackrange *s, uintptr_t *pc,
	size_t max, enum step *step)
{
	size_t n = 0;

	while (n < max && *step < STEP_END) {
		pc[n++] = f->reg[CFI_RA];
		*step = full_step(f, s);
	}
	return *step == STEP_NONE && n ? n - 1 : n;
}

/* What this place looks like to an unwinder. */
#define HERE(reg)                                                              \
	__asm__ volatile("movq %%rbx, 24(%0)\n\t"                              \
			 "movq %%rbp, 48(%0)\n\t"                              \
			 "movq %%rsp, 56(%0)\n\t"                              \
			 "movq %%r12, 96(%0)\n\t"                              \
			 "movq %%r13, 104(%0)\n\t"                             \
			 "movq %%r14, 112(%0)\n\t"                             \
			 "movq %%r15, 120(%0)\n\t"                             \
			 "leaq 0f(%%rip), %%rax\n\t"                           \
			 "movq %%rax, 128(%0)\n"                               \
			 "0:"                                                  \
			 :                                                     \
			 : "r"(reg)                                            \
			 : "rax", "memory")

NOINLINE size_t unwind_full(const struct unwind_regs *r, struct stackrange *s,
	uintptr_t *pc, size_t max)
{
	struct full f = {.valid = CALLEE_SAVED};
	enum step step = STEP_ODD;
	size_t own = 0;

	HERE(f.reg);
	while (f.reg[CFI_RA] != r->pc || f.reg[CFI_RSP] != r->sp) {
		step = full_step(&f, s);
		if (step >= STEP_END || ++own > MAX_OWN)
			return 0;
	}
	return walk(&f, s, pc, max, &step);
}

/* What modules_hold() carries to the other side. */
struct copied {
	const struct unwind_copy *c;
	uintptr_t *pc;
	size_t max, n;
	bool whole;
};

static void walk_copy(void *arg)
{
	struct copied *w = arg;
	struct stackrange s = {
		.piece = w->c->piece, .npieces = NELEM(w->c->piece)};
	struct full f = {.valid = w->c->valid};
	enum step step = STEP_ODD;

	memcpy(f.reg, w->c->reg, sizeof(f.reg));
	if (f.valid >> CFI_RA & 1)
		w->n = walk(&f, &s, w->pc, w->max, &step);
	/* Some programs are linked without the table of their first function. */
	w->whole = step == STEP_END ||
		(w->n && w->pc[w->n - 1] - getauxval(AT_ENTRY) < 64);
}

size_t unwind_copied(const struct unwind_copy *c, uintptr_t *pc, size_t max,
	bool *whole)
{
	struct copied w = {.c = c, .pc = pc, .max = max};
	size_t own = 0;

	modules_hold(walk_copy, &w);
	while (own + 1 < w.n && pc[own + 1] - own_text.lo < own_text.size)
		own++;
	/* The program has not called our handler. */
	if (own + 1 < w.n && pc[own] - own_text.lo < own_text.size &&
		RULE_KIND(rule_get(pc[own] - 1)) == RULE_SIGNAL)
		own++;
	memmove(pc, pc + own, (w.n - own) * sizeof(*pc));
	*whole = w.whole;
	return w.n - own;
}
