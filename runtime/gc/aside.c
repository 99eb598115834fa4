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
 *
 * Registers are the other way out. Where a marker's loop runs short of them,
 * compilers put addresses into vectors; there they outlive the cycle, and the
 * next call of a function that is not bound yet writes all vectors to the
 * program's stack (ld.so's _dl_runtime_resolve). So who comes back from here
 * brings nothing in registers that a call may change.
 *
 * Rejected: to build the marker without vectors for addresses. There is no
 * such option that leaves it its vectors for data.
 */
#include "gc/aside.h"
#include "os/sysmem.h"

enum { STACK = 256 << 10 };

THREAD_LOCAL uintptr_t aside_sp;

/* k registers, too: compilers put words there as well. */
__attribute__((target("avx512f"))) static NOINLINE void forget_avx512(void)
{
	__asm__ volatile(".irp	r, 16,17,18,19,20,21,22,23\n"
			 "	vpxord	%%zmm\\r, %%zmm\\r, %%zmm\\r\n"
			 ".endr\n"
			 ".irp	r, 24,25,26,27,28,29,30,31\n"
			 "	vpxord	%%zmm\\r, %%zmm\\r, %%zmm\\r\n"
			 ".endr\n"
			 ".irp	r, 0,1,2,3,4,5,6,7\n"
			 "	kxorw	%%k\\r, %%k\\r, %%k\\r\n"
			 ".endr\n"
			 :
			 :
			 : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20",
			 "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
			 "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1",
			 "k2", "k3", "k4", "k5", "k6", "k7");
}

__attribute__((target("avx"))) static NOINLINE void forget_avx(void)
{
	__asm__ volatile("vzeroall"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			 "xmm12", "xmm13", "xmm14", "xmm15");
}

static NOINLINE void forget_sse(void)
{
	__asm__ volatile(".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
			 "	pxor	%%xmm\\r, %%xmm\\r\n"
			 ".endr\n"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			 "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			 "xmm12", "xmm13", "xmm14", "xmm15");
}

/* What fn has left in the registers that belong to whoever is called. */
static void forget(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f"))
		forget_avx512();
	if (__builtin_cpu_supports("avx"))
		forget_avx();
	else
		forget_sse();
	__asm__ volatile("xorl	%%ecx, %%ecx\n"
			 "	xorl	%%edx, %%edx\n"
			 "	xorl	%%esi, %%esi\n"
			 "	xorl	%%edi, %%edi\n"
			 "	xorl	%%r8d, %%r8d\n"
			 "	xorl	%%r9d, %%r9d\n"
			 "	xorl	%%r10d, %%r10d\n"
			 "	xorl	%%r11d, %%r11d\n"
			 :
			 :
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
			 "r11", "cc");
}

NOINLINE void aside_call(void (*fn)(void *arg), void *arg)
{
	char *stack = aside_sp ? NULL : sysmem_map(NULL, STACK, SYS_GC);
	char *top = stack + STACK;

	if (!stack) {
		fn(arg);
		forget();
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
	forget();
}
