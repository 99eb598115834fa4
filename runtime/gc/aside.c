/* SPDX-License-Identifier: MIT */
/*
 * aside: see the header.
 *
 *	program's stack           ours
 *	| main ...   |  in use    | fn ...          |
 *	| exit()     |            | gc_cycle ...    |
 *	| aside_call | <-aside_sp | stw_stop ...    |
 *	| dead       |
 *
 * The frames of a cycle are deep and have holes: arrays that are half filled,
 * padding. Whatever earlier calls of the program have left in that place would
 * show through and keep leaked objects alive: of three lost lists of a hundred
 * nodes 72 nodes were not reported, because the last refill of a magazine had
 * left a pointer there. And what the cycle leaves itself would be found by the
 * next one, where a coroutine's stack is scanned whole. So none of that happens
 * on the program's stack.
 *
 * A stack of our own is also what a signal handler needs which finds itself on
 * the last kilobyte of somebody's stack.
 */
#include "gc/aside.h"
#include "os/sysmem.h"

enum { STACK = 256 << 10 };

THREAD_LOCAL uintptr_t aside_sp;

NOINLINE void aside_call(void (*fn)(void *arg), void *arg)
{
	char *stack = aside_sp ? NULL : sysmem_map(NULL, STACK, SYS_GC);
	char *top = stack + STACK;

	if (!stack) {
		fn(arg);
		return;
	}
	/* All callee-saved registers go into this frame. */
	__builtin_unwind_init();
	__asm__ volatile("	movq	%%rsp, %%rbx\n"
			 "	movq	%%rsp, %0\n"
			 "	movq	%1, %%rsp\n"
			 "	callq	*%2\n"
			 "	movq	%%rbx, %%rsp\n"
			 : "=m"(aside_sp), "+r"(top), "+r"(fn), "+D"(arg)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9",
			 "r10", "r11", "memory", "cc");
	aside_sp = 0;
	sysmem_unmap(stack, STACK, SYS_GC);
}
