/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_CALLSTACK_H
#define GOSTAT_PROFILE_CALLSTACK_H

#include "profile/unwind.h"

/*
 * The current call stack as a stacktab id, at a price that allows it for every
 * allocation. Each thread has a struct callstack that remembers its last one.
 *
 *	NOINLINE void *malloc_recorded(size_t size)	(malloc jumps here)
 *	{
 *		struct unwind_regs regs;
 *
 *		unwind_caller(&regs);
 *		... callstack_capture(mcache->callstack, &regs, depth) ...
 */
struct callstack;

/*
 * For captures of up to depth frames (STACK_MAX at most): 0.1 KiB a frame, of
 * which only what stacks make use of becomes resident. often: for a capture at
 * each allocation; up to 70 KiB more, and faster. NULL if there is no memory.
 * The owner is the thread that captures with it.
 */
struct callstack *callstack_new(size_t depth, bool often);
void callstack_free(struct callstack *cs);

/* Forget everything: cs gets another owner. */
void callstack_reset(struct callstack *cs);

/*
 * The id (stacktab.h) of the innermost max frames of the stack from *r on,
 * without those of this library (unwind_own_text()) at its inner end; r must
 * be a frame of the calling thread. 0: no memory for a new stack.
 * max is between 1 and what cs was made for. cs may be NULL: slower, and 64
 * frames at most.
 *
 * Context: any, a signal handler that interrupts a capture included (that is
 * noticed and handled as cs == NULL). No lock of the allocator may be held.
 * Takes no lock in the common case; a call site that is neither in
 * .eh_frame nor has a frame pointer is put before libunwind once, if that was
 * loaded (unwind.h). Stacks end in such code otherwise.
 */
uint32_t callstack_capture(
	struct callstack *cs, const struct unwind_regs *r, size_t max);

/* In the child of fork: libunwind may have been busy in another thread. */
void callstack_postfork_child(void);

/* Tests: stop the process if the remembered stack contradicts itself. */
void callstack_check(const struct callstack *cs);

#endif
