/* SPDX-License-Identifier: MIT */
/*
 * unwind_expr: a calculator for the expressions in unwind tables.
 *
 * Compilers and assembler programmers use few of them:
 *	PLT entries	   rsp + 8 + ((rip & 15) >= 11) * 8
 *	signal trampolines *(rsp + 160), and rsp + n for each register
 *	realigned frames   *(rbp - 8)
 *	hand-written code  *(rsp + 40) + 8
 * All of them come out as one struct expr even when rsp and rbp are unknown,
 * because the program counter is known: so they need evaluating only once for
 * each instruction. With registers given, everything comes out as a number
 * and the operations below may be combined at will.
 *
 * Not understood: calls, jumps, typed operations, anything that refers to
 * debug information. No unwind table was seen that has them.
 */
#include "profile/unwind_expr.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_dwarf.h"
#include "profile/unwind_step.h"

enum { DEPTH = 16 }; /* of the stack; 4 is the most seen */

enum {
	OP_ADDR = 0x03,
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08,
	OP_CONST1S,
	OP_CONST2U,
	OP_CONST2S,
	OP_CONST4U,
	OP_CONST4S,
	OP_CONST8U,
	OP_CONST8S,
	OP_CONSTU,
	OP_CONSTS,
	OP_DUP,
	OP_DROP,
	OP_OVER,
	OP_PICK,
	OP_SWAP,
	OP_ROT,
	OP_ABS = 0x19,
	OP_AND,
	OP_DIV,
	OP_MINUS,
	OP_MOD,
	OP_MUL,
	OP_NEG,
	OP_NOT,
	OP_OR,
	OP_PLUS,
	OP_PLUS_UCONST,
	OP_SHL,
	OP_SHR,
	OP_SHRA,
	OP_XOR,
	OP_EQ = 0x29,
	OP_GE,
	OP_GT,
	OP_LE,
	OP_LT,
	OP_NE,
	OP_LIT0 = 0x30,
	OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70,
	OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
	OP_NOP = 0x96
};

struct machine {
	const struct expr_env *env;
	struct dwarf code;
	struct expr stack[DEPTH];
	unsigned n;
	bool bad;
};

static struct expr *push(struct machine *m, uint64_t v)
{
	/* A full stack keeps its last cell; bad is looked at in the end. */
	if (m->n == DEPTH) {
		m->bad = true;
		m->n--;
	}
	m->stack[m->n] = (struct expr){.kind = EXPR_NUMBER, .add = (intptr_t)v};
	return &m->stack[m->n++];
}

/* The i-th cell from the top. */
static struct expr *top(struct machine *m, unsigned i)
{
	if (i >= m->n) {
		m->bad = true;
		m->n = 1;
		m->stack[0] = (struct expr){0};
		i = 0;
	}
	return &m->stack[m->n - 1 - i];
}

static void push_copy(struct machine *m, unsigned i)
{
	struct expr e = *top(m, i);

	*push(m, 0) = e;
}

static void push_reg(struct machine *m, uint64_t reg, int64_t off)
{
	const struct expr_env *env = m->env;

	if (reg == CFI_RA) {
		push(m, env->pc + (uint64_t)off);
	} else if (env->reg) {
		if (reg >= CFI_NREG || !(env->valid >> reg & 1))
			m->bad = true;
		else
			push(m, env->reg[reg] + (uint64_t)off);
	} else {
		struct expr *e = push(m, (uint64_t)off);

		e->kind = EXPR_REG;
		e->reg = (uint8_t)reg;
		m->bad |= reg >= CFI_NREG;
	}
}

static void deref(struct machine *m)
{
	struct expr *e = top(m, 0);
	uintptr_t v;

	if (e->kind == EXPR_REG)
		*e = (struct expr){
			.kind = EXPR_LOAD, .reg = e->reg, .off = e->add};
	else if (e->kind == EXPR_NUMBER && m->env->reg &&
		 stack_load(m->env->range, (uintptr_t)e->add, &v))
		e->add = (intptr_t)v;
	else
		m->bad = true;
}

static bool compare(uint8_t op, int64_t a, int64_t b, int64_t *r)
{
	switch (op) {
	case OP_EQ:
		*r = a == b;
		return true;
	case OP_NE:
		*r = a != b;
		return true;
	case OP_GE:
		*r = a >= b;
		return true;
	case OP_GT:
		*r = a > b;
		return true;
	case OP_LE:
		*r = a <= b;
		return true;
	case OP_LT:
		*r = a < b;
		return true;
	default:
		return false;
	}
}

static bool calculate(uint8_t op, int64_t a, int64_t b, int64_t *r)
{
	uint64_t ua = (uint64_t)a, ub = (uint64_t)b;

	switch (op) {
	case OP_AND:
		*r = a & b;
		return true;
	case OP_OR:
		*r = a | b;
		return true;
	case OP_XOR:
		*r = a ^ b;
		return true;
	case OP_PLUS:
		*r = (int64_t)(ua + ub);
		return true;
	case OP_MINUS:
		*r = (int64_t)(ua - ub);
		return true;
	case OP_MUL:
		*r = (int64_t)(ua * ub);
		return true;
	case OP_SHL:
		*r = ub < 64 ? (int64_t)(ua << ub) : 0;
		return true;
	case OP_SHR:
		*r = ub < 64 ? (int64_t)(ua >> ub) : 0;
		return true;
	case OP_SHRA:
		*r = a >> (ub < 64 ? ub : 63);
		return true;
	case OP_MOD:
		*r = ub ? (int64_t)(ua % ub) : 0;
		return ub != 0;
	case OP_DIV:
		if (!b || (b == -1 && a == INT64_MIN))
			return false;
		*r = a / b;
		return true;
	default:
		return compare(op, a, b, r);
	}
}

/* Two operands: numbers, or a formula plus or minus a number. */
static void binary(struct machine *m, uint8_t op)
{
	struct expr b = *top(m, 0), *a = top(m, 1), swapped;

	m->n -= m->n > 1;
	if (op == OP_PLUS && a->kind == EXPR_NUMBER) {
		swapped = *a;
		*a = b;
		b = swapped;
	}
	if (b.kind != EXPR_NUMBER ||
		(a->kind != EXPR_NUMBER && op != OP_PLUS && op != OP_MINUS))
		m->bad = true;
	else
		m->bad |= !calculate(op, a->add, b.add, &a->add);
}

static void unary(struct machine *m, uint8_t op)
{
	struct expr *e = top(m, 0);
	uint64_t v = (uint64_t)e->add;

	m->bad |= e->kind != EXPR_NUMBER;
	if (op == OP_NOT)
		v = ~v;
	else if (op == OP_NEG || e->add < 0)
		v = 0 - v;
	e->add = (intptr_t)v;
}

static void shuffle(struct machine *m, uint8_t op)
{
	struct expr *a = top(m, 0), *b = top(m, 1), t = *a;

	if (m->bad)
		return;
	*a = *b;
	*b = t;
	if (op == OP_ROT) { /* the top sinks below the third */
		struct expr *c = top(m, 2);

		if (m->bad)
			return;
		t = *c;
		*c = *b;
		*b = t;
	}
}

static bool constant(struct machine *m, uint8_t op)
{
	struct dwarf *d = &m->code;

	switch (op) {
	case OP_ADDR:
	case OP_CONST8U:
	case OP_CONST8S:
		push(m, dwarf_u64(d));
		return true;
	case OP_CONST1U:
		push(m, dwarf_u8(d));
		return true;
	case OP_CONST1S:
		push(m, (uint64_t)(int8_t)dwarf_u8(d));
		return true;
	case OP_CONST2U:
		push(m, dwarf_u16(d));
		return true;
	case OP_CONST2S:
		push(m, (uint64_t)(int16_t)dwarf_u16(d));
		return true;
	case OP_CONST4U:
		push(m, dwarf_u32(d));
		return true;
	case OP_CONST4S:
		push(m, (uint64_t)(int32_t)dwarf_u32(d));
		return true;
	case OP_CONSTU:
		push(m, dwarf_uleb(d));
		return true;
	case OP_CONSTS:
		push(m, (uint64_t)dwarf_sleb(d));
		return true;
	default:
		return false;
	}
}

static void operate(struct machine *m, uint8_t op)
{
	uint64_t reg;

	switch (op) {
	case OP_DEREF:
		deref(m);
		break;
	case OP_DUP:
		push_copy(m, 0);
		break;
	case OP_OVER:
		push_copy(m, 1);
		break;
	case OP_PICK:
		push_copy(m, dwarf_u8(&m->code));
		break;
	case OP_DROP:
		top(m, 0);
		m->n--;
		break;
	case OP_SWAP:
	case OP_ROT:
		shuffle(m, op);
		break;
	case OP_ABS:
	case OP_NEG:
	case OP_NOT:
		unary(m, op);
		break;
	case OP_PLUS_UCONST:
		push(m, dwarf_uleb(&m->code));
		binary(m, OP_PLUS);
		break;
	case OP_BREGX:
		reg = dwarf_uleb(&m->code);
		push_reg(m, reg, dwarf_sleb(&m->code));
		break;
	case OP_NOP:
		break;
	default:
		binary(m, op);
		break;
	}
}

bool expr_eval(const void *block, const struct expr_env *env,
	const uintptr_t *first, struct expr *result)
{
	const uint8_t *p = block;
	struct machine m = {.env = env};
	uint64_t len;

	m.code = (struct dwarf){.p = p, .end = p + 10};
	len = dwarf_uleb(&m.code);
	if (m.code.bad || len > 4096)
		return false;
	m.code.end = m.code.p + len;
	if (first)
		push(&m, *first);
	while (m.code.p < m.code.end && !m.bad && !m.code.bad) {
		uint8_t op = dwarf_u8(&m.code);

		if (op >= OP_LIT0 && op <= OP_LIT31)
			push(&m, op - OP_LIT0);
		else if (op >= OP_BREG0 && op <= OP_BREG31)
			push_reg(&m, op - OP_BREG0, dwarf_sleb(&m.code));
		else if (!constant(&m, op))
			operate(&m, op);
	}
	*result = *top(&m, 0);
	return !m.bad && !m.code.bad;
}
