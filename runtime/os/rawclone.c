/* SPDX-License-Identifier: MIT */
/*
 * rawclone: a task of the kernel's, and nothing else.
 *
 * fn and arg travel on the new stack, since after the system call the two tasks
 * have the same registers but the stack pointer. The return address is marked
 * as undefined, so that unwinders end there.
 */
#include "os/rawclone.h"

__attribute__((naked)) long rawclone(unsigned long flags UNUSED,
	void *stack_top UNUSED, int (*fn)(void *) UNUSED, void *arg UNUSED)
{
	__asm__("	andq	$-16, %rsi\n"
		"	subq	$16, %rsi\n"
		"	movq	%rdx, 0(%rsi)\n"
		"	movq	%rcx, 8(%rsi)\n"
		"	xorl	%edx, %edx\n"
		"	xorl	%r10d, %r10d\n"
		"	xorl	%r8d, %r8d\n"
		"	movl	$56, %eax\n" /* clone */
		"	syscall\n"
		"	testq	%rax, %rax\n"
		"	jz	1f\n"
		"	ret\n"
		"1:	.cfi_undefined rip\n"
		"	xorl	%ebp, %ebp\n"
		"	popq	%rax\n"
		"	popq	%rdi\n"
		"	call	*%rax\n"
		"	movl	%eax, %edi\n"
		"	movl	$60, %eax\n" /* exit, of this task */
		"	syscall\n"
		"	hlt\n");
}
