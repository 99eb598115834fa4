/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_EXPR_H
#define GOSTAT_PROFILE_UNWIND_EXPR_H

#include "profile/stackrange.h"

/*
 * DWARF expressions, as far as unwind tables use them.
 *
 * A result is a number, or, where registers are not known yet, a formula of
 * one of these shapes. Anything more complicated is not understood.
 */
enum expr_kind {
	EXPR_NUMBER, /* add */
	EXPR_REG,    /* reg + add */
	EXPR_LOAD,   /* *(reg + off) + add */
};

struct expr {
	uint8_t kind;
	uint8_t reg; /* DWARF number */
	intptr_t off, add;
};

/* With what an expression is evaluated. */
struct expr_env {
	const uintptr_t *reg;	  /* by DWARF number; NULL: keep formulas */
	uint32_t valid;		  /* bit r: reg[r] is known */
	uintptr_t pc;		  /* what the program counter reads as */
	struct stackrange *range; /* for loads, with reg only */
};

/*
 * Evaluate the expression whose ULEB length stands at block. first, if not
 * NULL, is on the stack at the start (the CFA). False when it can't be done.
 */
bool expr_eval(const void *block, const struct expr_env *env,
	const uintptr_t *first, struct expr *result);

#endif
