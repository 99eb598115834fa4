/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_STACKTAB_H
#define GOSTAT_PROFILE_STACKTAB_H

#include "base/attrs.h"

/*
 * Interned call stacks. Equal stacks have equal ids, ids never change and
 * nothing is ever freed. No call here takes a lock: all of them may run in a
 * signal handler, in a fork child, and while other threads stand still
 * anywhere.
 *
 * A frame is a "pc": the address behind the call instruction (or, for a frame
 * that a signal interrupted, one past the interrupted instruction), so that
 * pc - 1 lies inside the instruction for every frame alike.
 */
enum {
	STACK_MAX = 1024, /* frames of the longest stack */
	STACK_BLOCK = 6, /* frames in a block, see stacktab.c */
	STACK_GENERATIONS = 1 << 27,
};

/*
 * The id of the stack pc[0..n), innermost frame first, seen while modules of
 * the given generation were loaded (modules.h). n beyond STACK_MAX is cut at
 * the outer end.
 *
 * Returns 0 for an empty stack and when there is no memory for a new one.
 */
uint32_t stacktab_intern(const uintptr_t *pc, size_t n, uint32_t generation);

/*
 * The same one block at a time, for a caller that knows the outer part
 * already: the stack made of outer and, inside it, pc[0..n) with the
 * *outermost* frame first. outer is stacktab_root() or an id whose stack is
 * made of full blocks; 0 < n <= STACK_BLOCK. h is outer mixed with each pc in
 * that order. Returns as stacktab_intern().
 */
uint32_t stacktab_add(uint32_t outer, uint64_t h, const uintptr_t *pc,
	size_t n);

/* The upper half of the product depends on all bits of both. */
static inline uint64_t stacktab_mix(uint64_t h, uintptr_t pc)
{
	return (h ^ pc) * 0xd1310ba698dfb5ad; /* odd digits of pi */
}

/* The empty stack of a generation, for stacktab_add(). */
static inline uint32_t stacktab_root(uint32_t generation)
{
	return STACK_GENERATIONS | (generation & (STACK_GENERATIONS - 1));
}

/*
 * Copy the frames of stack id, innermost first, at most max of them. Returns
 * how many the stack has. id 0 has none.
 */
size_t stacktab_frames(uint32_t id, uintptr_t *pc, size_t max);

/* The generation that stack id was interned with. */
uint32_t stacktab_generation(uint32_t id);

/* The list of counters that hangs off stack id; bucket.c owns the word. */
uint32_t *stacktab_bucket(uint32_t id);

/* Blocks in the table: at least one for each stack. */
size_t stacktab_count(void);

/*
 * Tests only, while no other thread is interning: walk everything and stop
 * the process if an invariant is broken.
 */
void stacktab_check(void);

#endif
