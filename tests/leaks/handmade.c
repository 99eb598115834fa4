/* SPDX-License-Identifier: MIT */
/*
 * A stack switched by hand, as schedulers of fibres do: the only thing known of
 * the sleeper is its stack pointer, somewhere inside a mapping.
 *
 * truth: keep | clean modes=exit,find,stw
 * truth: keep | 1/4242 modes=strict
 * truth: drop | 1/4242
 */
#include "truth.h"

#include <sys/mman.h>

enum { SIZE = 128 << 10 };

void *fibre_sp, *main_sp; /* of who sleeps */
static bool keep;

/* Save this side's registers and stack pointer, take up the other's. */
void fibre_switch(void **from, void **to);
__asm__(".text\n"
	".globl fibre_switch\n"
	".type fibre_switch, @function\n"
	"fibre_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov (%rsi), %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size fibre_switch, . - fibre_switch\n");

static void body(void)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	if (!keep)
		local = NULL;
	clobber();
	fibre_switch(&fibre_sp, &main_sp);
	MUST(local == NULL);
}

static NOINLINE void start(void)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **top = (void **)(p + SIZE);

	MUST(p != MAP_FAILED);
	*--top = NULL; /* alignment, and where body would return to */
	*--top = (void *)body;
	fibre_sp = top - 6;
	fibre_switch(&main_sp, &fibre_sp);
}

int main(int argc, char **argv)
{
	keep = said(argc, argv, "keep");
	start();
	clobber();
	now();
	return 0;
}
