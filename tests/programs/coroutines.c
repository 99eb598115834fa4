/* SPDX-License-Identifier: MIT */
/*
 * coroutines: allocates on stacks that libc knows nothing of, some of them
 * in the heap, some mapped, and switches in the middle of the work.
 */
#include "work.h"

#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { N = 20, STACK = 262144, TURNS = 50 };

static ucontext_t back, ctx[N];
static uint64_t sum[N];

static void routine(int me)
{
	char *mine[TURNS];

	for (int i = 0; i < TURNS; i++) {
		mine[i] = malloc((size_t)(10 + me * i));
		memset(mine[i], me, (size_t)(10 + me * i));
		sum[me] = sum[me] * 3 + work((uint32_t)(me + i), 30);
		swapcontext(&ctx[me], &back);
	}
	for (int i = 0; i < TURNS; i++)
		free(mine[i]);
}

int main(void)
{
	void *stack[N];
	uint64_t total = 0;

	for (int i = 0; i < N; i++) {
		stack[i] = i % 2 ? malloc(STACK)
				 : mmap(NULL, STACK, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		getcontext(&ctx[i]);
		ctx[i].uc_stack.ss_sp = stack[i];
		ctx[i].uc_stack.ss_size = STACK;
		ctx[i].uc_link = &back;
		makecontext(&ctx[i], (void (*)(void))routine, 1, i);
	}
	for (int t = 0; t <= TURNS; t++)
		for (int i = 0; i < N; i++)
			swapcontext(&back, &ctx[i]);
	for (int i = 0; i < N; i++) {
		total += sum[i];
		if (i % 2)
			free(stack[i]);
		else
			munmap(stack[i], STACK);
	}
	printf("%llx\n", (unsigned long long)total);
	return 0;
}
