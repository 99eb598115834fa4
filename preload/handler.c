/* SPDX-License-Identifier: MIT */
/*
 * handler: a thread that counts as being at rest begins to run when a signal
 * handler of the program's does. So there is a step in front of each:
 *
 *	kernel --> step 7 --> parked? --no--> jump to handler 7
 *	                         |yes             ^
 *	                    park_interrupt() -----+
 *
 * The step clears the record, waits while the world is stopped, and jumps: no
 * frame of ours is on the stack, nobody who walks it sees us, and the handler
 * may return or jump anywhere. The kernel's three arguments are as they were.
 *
 * A step belongs to one handler for ever, so there is no table of dispositions
 * to keep in step with the kernel's: who sets a handler sets its step, who asks
 * is told the handler of the step. Who calls a step in place of its handler
 * (having got it by a raw system call) has called the handler.
 *
 *	handler.of:  [0] h0  [1] 0  [2] h2 ...	by hash, filled in once
 *	steps:       |mov $0,%eax; jmp| ...	16 bytes each
 *
 * Invariant: an entry of handler.of is 0 or the same for ever.
 * Locks: none; a compare-and-swap on an entry.
 *
 * When there are no steps left the kernel gets the program's handler, as it does
 * from a raw system call. Each stop looks at the kernel's table; where it finds
 * such a handler it believes nobody to be parked.
 *
 * Rejected: asking /proc at each stop whether a parked thread is in the kernel
 * (5.6 us each, and a moment later it may not be); a frame that parks the call
 * again when the handler returns (such a call ends soon, or does not mind).
 */
#include "preload/handler.h"
#include "base/options.h"
#include "gc/park.h"
#include "gc/stw.h"

enum {
	STEPS = 512,
	STEP_SIZE = 16,
};

struct handler {
	uintptr_t of[STEPS];
};
struct handler handler HIDDEN;

_Static_assert(offsetof(struct park, sp) == 0, "as below");

/*
 * rax, rcx: free for a handler to use. Emulators run code with another %fs, on
 * which no record depends.
 */
__asm__("	.text\n"
	"	.balign	64\n"
	"	.type	handler_steps, @function\n"
	"handler_steps:\n"
	"	.cfi_startproc\n"
	"	.set	n, 0\n"
	"	.rept	512\n"
	"	.balign	16\n"
	"	movl	$n, %eax\n"
	"	jmp	handler_step\n"
	"	.set	n, n + 1\n"
	"	.endr\n"
	"	.balign	16\n"
	"	.cfi_endproc\n"
	"	.size	handler_steps, . - handler_steps\n"
	"\n"
	"	.type	handler_step, @function\n"
	"handler_step:\n"
	"	.cfi_startproc\n"
	"	movq	%fs:0, %rcx\n"
	"	cmpq	%fs:16, %rcx\n"
	"	jne	1f\n"
	"	movq	park_self@gottpoff(%rip), %rcx\n"
	"	movq	%fs:(%rcx), %rcx\n"
	"	testq	%rcx, %rcx\n"
	"	jz	1f\n"
	"	cmpq	$0, (%rcx)\n"
	"	jne	2f\n"
	"1:	leaq	handler(%rip), %rcx\n"
	"	jmpq	*(%rcx,%rax,8)\n"
	"2:	pushq	%rdi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	pushq	%rsi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	pushq	%rdx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	pushq	%rax\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	subq	$8, %rsp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	call	park_interrupt\n"
	"	addq	$8, %rsp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	popq	%rax\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	popq	%rdx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	popq	%rsi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	popq	%rdi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	jmp	1b\n"
	"	.cfi_endproc\n"
	"	.size	handler_step, . - handler_step\n");

extern const char handler_steps[] HIDDEN;

/* Not SIG_DFL, SIG_IGN, SIG_HOLD, SIG_ERR. */
static bool is_function(sighandler_t h)
{
	return (uintptr_t)h + 1 > 3;
}

/* Which step h is; STEPS: none. */
static unsigned step_of(sighandler_t h)
{
	uintptr_t off = (uintptr_t)h - (uintptr_t)handler_steps;

	return off < (uintptr_t)STEPS * STEP_SIZE && off % STEP_SIZE == 0
		? (unsigned)(off / STEP_SIZE) : STEPS;
}

/* May h have entry i: is it there, or has it been free until now? */
static bool claim(unsigned i, uintptr_t h)
{
	uintptr_t is = load_relaxed(&handler.of[i]);

	return is == h || (is == 0 && (cas_relaxed(&handler.of[i], &is, h) ||
		is == h));
}

sighandler_t handler_wrap(sighandler_t h)
{
	unsigned i = (unsigned)((uintptr_t)h * UINT64_C(0x9e3779b97f4a7c15) >>
		55);

	if (options->gc == GC_OFF || !is_function(h) || step_of(h) != STEPS)
		return h;
	for (unsigned tries = 0; tries < STEPS; tries++) {
		if (claim(i, (uintptr_t)h))
			return (sighandler_t)(uintptr_t)(handler_steps +
				(size_t)i * STEP_SIZE);
		i = (i + 1) % STEPS;
	}
	return h;
}

sighandler_t handler_unwrap(sighandler_t h)
{
	unsigned i = step_of(h);

	return i == STEPS ? h : (sighandler_t)load_relaxed(&handler.of[i]);
}

/* Made by the linker: this library and its code. Our own handlers know. */
extern const char __ehdr_start[] HIDDEN, etext[] HIDDEN;

static bool is_known(uintptr_t h)
{
	return h - (uintptr_t)__ehdr_start <
		(uintptr_t)(etext - __ehdr_start);
}

void handler_init(void)
{
	stw_handler_hook = is_known;
}
