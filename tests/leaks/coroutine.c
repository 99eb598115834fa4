/* SPDX-License-Identifier: MIT */
/*
 * A coroutine of makecontext that sleeps, with an address on its stack; a leak
 * that was made on such a stack; the end of the program on such a stack, while
 * main's is asleep.
 *
 * truth: mapped keep | clean modes=exit,find,stw
 * truth: mapped drop | 1/4242
 * truth: heap keep | clean
 * truth: heap drop | 1/4242
 * truth: static keep | clean
 * truth: static drop | 1/4242
 * truth: mapped end keep | clean
 * truth: mapped end drop | 1/4242
 * truth: heap end keep | clean
 * truth: heap end drop | 1/4242
 * truth: static end keep | clean
 * truth: static end drop | 1/4242
 */
#include "truth.h"

#include <sys/mman.h>
#include <ucontext.h>

enum { SIZE = 128 << 10 };

static ucontext_t outside, inside;
static char stack[SIZE] __attribute__((aligned(64)));
static bool keep, end;

static NOINLINE void sleep_here(void)
{
	clobber();
	if (end) {
		now();
		exit(0);
	}
	swapcontext(&inside, &outside);
}

static void body(void)
{
	void *volatile local = NULL;

	if (!end) {
		put((void *)&local, make(MARKER), 0);
		if (!keep)
			local = NULL;
	}
	sleep_here();
	MUST(local == NULL);
}

static NOINLINE void run(void *sp)
{
	MUST(!getcontext(&inside));
	inside.uc_stack.ss_sp = sp;
	inside.uc_stack.ss_size = SIZE;
	inside.uc_link = &outside;
	makecontext(&inside, body, 0);
	swapcontext(&outside, &inside);
}

int main(int argc, char **argv)
{
	void *volatile local = NULL;

	keep = said(argc, argv, "keep");
	end = said(argc, argv, "end");
	if (end) {
		put((void *)&local, make(MARKER), 0);
		if (!keep)
			local = NULL;
		clobber();
	}
	if (said(argc, argv, "static"))
		run(stack);
	else if (said(argc, argv, "heap"))
		run(malloc(SIZE));
	else
		run(mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	clobber();
	now();
	return local != NULL;
}
