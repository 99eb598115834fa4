/* SPDX-License-Identifier: MIT */
/* jobstack: see the header. */
#include "gc/jobstack.h"
#include "os/sysmem.h"

enum { JOBSTACK = 512 << 10 };

/* %rbp keeps the way back: for us, for unwinders and debuggers. */
int jobstack_switch(void *arg, int (*fn)(void *arg), void *top) HIDDEN;
__asm__("	.text\n"
	"	.globl	jobstack_switch\n"
	"	.hidden	jobstack_switch\n"
	"	.type	jobstack_switch, @function\n"
	"jobstack_switch:\n"
	"	.cfi_startproc\n"
	"	pushq	%rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	movq	%rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	movq	%rdx, %rsp\n"
	"	call	*%rsi\n"
	"	movq	%rbp, %rsp\n"
	"	popq	%rbp\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size	jobstack_switch, . - jobstack_switch\n");

int jobstack_call(int (*fn)(void *arg), void *arg)
{
	char *p = sysmem_map(NULL, JOBSTACK, SYS_GC);
	int ret;

	if (!p)
		return fn(arg);
	ret = jobstack_switch(arg, fn, p + JOBSTACK);
	sysmem_unmap(p, JOBSTACK, SYS_GC);
	return ret;
}
