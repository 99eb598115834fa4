/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_H
#define GOSTAT_PROFILE_UNWIND_H

#include "profile/stackrange.h"
#include "profile/unwind_cfi.h"

/*
 * Where a walk up the stack starts. pc is one past an address inside the
 * instruction, as a return address is; so for a thread that was interrupted
 * at rip it is rip + 1. All frames are reported in that way (stacktab.h).
 */
struct unwind_regs {
	uintptr_t pc, sp, bp;
};

/*
 * The registers of the caller of this function, as they will be when it
 * returns. For use in a NOINLINE function that malloc has jumped to (a tail
 * call): the caller is then the program, and no frame of ours is walked.
 */
#define unwind_caller(r)                                                       \
	do {                                                                   \
		uintptr_t *frame_ = __builtin_frame_address(0);                \
                                                                               \
		(r)->pc = frame_[1];                                           \
		(r)->sp = (uintptr_t)(frame_ + 2);                             \
		(r)->bp = frame_[0];                                           \
	} while (0)

/* The registers that a signal handler was given. */
void unwind_ucontext(struct unwind_regs *r, const void *ucontext);

/*
 * The frames from r on, innermost first (r->pc itself is pc[0]), at most max.
 * Every load is checked against the readable pages that s knows, so a stack
 * in any state gives a possibly short answer and no crash.
 *
 * Context: anywhere, signal handlers included. Takes no lock. System calls
 * for pages of stack that s does not know yet, and at the first call (mmap).
 */
size_t unwind(const struct unwind_regs *r, struct stackrange *s, uintptr_t *pc,
	size_t max);

/*
 * The frames from r on, without those of this library at the inner end; and
 * those of the caller. For occasional use: recording allocations is
 * callstack.h's business. Context: as above.
 */
size_t unwind_program(const struct unwind_regs *r, uintptr_t *pc, size_t max);
size_t unwind_here(uintptr_t *pc, size_t max);

/*
 * The library's own code is [lo, hi): unwind_program() and
 * callstack_capture() leave out frames of it at the inner end. Called once, at
 * start.
 */
void unwind_own_text(uintptr_t lo, uintptr_t hi);

/* True for those, and for everything while nothing was said of them. */
bool unwind_is_own(uintptr_t pc);

/*
 * A module was unloaded: forget what is known about code. Context: anywhere.
 */
void unwind_flush(void);

/*
 * As unwind(), with every register and straight from the tables: about 1
 * microsecond a frame. r must be a frame on the current stack. For the rare
 * code (hand-written, mostly) whose frames need more than rsp and rbp; 0 if
 * r was not found.
 */
size_t unwind_full(const struct unwind_regs *r, struct stackrange *s,
	uintptr_t *pc, size_t max);

/*
 * A thread that was brought to rest, as it was: its registers, by DWARF number,
 * and what was copied of its stacks. reg[CFI_RA] is where it goes on, plus one
 * unless that is a return address. Pieces that are not needed are all zero.
 */
struct unwind_copy {
	uintptr_t reg[CFI_NREG];
	uint32_t valid; /* bit r: reg[r] is known */
	struct stackpiece piece[2];
};

/*
 * The frames of a copy, with every register. Of this library's at the inner end
 * only the outermost is left, which is the function that the program called.
 * *whole: the outermost frame was reached.
 *
 * Context: as modules_hold(): not in a signal handler; takes the loader's lock.
 */
size_t unwind_copied(const struct unwind_copy *c, uintptr_t *pc, size_t max,
	bool *whole);

/*
 * What libunwind makes of the stack from r on (a frame of the current stack):
 * it knows .debug_frame as well. scratch has room for nscratch pointers, more
 * than max. 0 if it does not find r.
 *
 * Context: not in a signal handler, no lock of ours held: it may take the
 * loader's lock, and makes system calls.
 */
size_t unwind_libunwind(const struct unwind_regs *r, void **scratch,
	size_t nscratch, uintptr_t *pc, size_t max);

/*
 * Load it, if there is one on this machine; before main, after libc's own
 * start. Until then, and again after unwind_forget_libunwind(), nobody is
 * asked. It opens a pipe when it is used first.
 */
void unwind_load_libunwind(void);
void unwind_forget_libunwind(void);
bool unwind_has_libunwind(void);

#endif
