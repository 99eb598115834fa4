/* SPDX-License-Identifier: MIT */
/*
 * An address in one register of a running thread, and nowhere else.
 *
 * truth: none | 1/4242
 * truth: rbx | clean
 * truth: r15 | clean
 * truth: r10 | clean
 * truth: xmm0 | clean
 * truth: xmm13 | clean
 * truth: ymm9 | clean
 * truth: zmm30 | clean
 */
#include "truth.h"

#include <pthread.h>

static volatile int ready;
static cookie hidden;
static const char *where = "none";

#define HOLD(load, reg)                                                        \
	__asm__ volatile("mov %[hidden], %%rax\n"                              \
			 "not %%rax\n" load "\n"                               \
			 "xor %%eax, %%eax\n"                                  \
			 "movl $1, %[ready]\n"                                 \
			 "1: pause\n"                                          \
			 "jmp 1b\n"                                            \
			 : [ready] "=m"(ready)                                 \
			 : [hidden] "m"(hidden)                                \
			 : "rax", reg, "memory")

static void *hold(void *arg)
{
	if (!strcmp(where, "rbx"))
		HOLD("mov %%rax, %%rbx", "rbx");
	if (!strcmp(where, "r15"))
		HOLD("mov %%rax, %%r15", "r15");
	if (!strcmp(where, "r10"))
		HOLD("mov %%rax, %%r10", "r10");
	if (!strcmp(where, "xmm0"))
		HOLD("movq %%rax, %%xmm0", "xmm0");
	if (!strcmp(where, "xmm13"))
		HOLD("movq %%rax, %%xmm13\npslldq $8, %%xmm13", "xmm13");
	if (!strcmp(where, "ymm9"))
		HOLD("vmovq %%rax, %%xmm8\n"
		     "vxorps %%ymm9, %%ymm9, %%ymm9\n"
		     "vinsertf128 $1, %%xmm8, %%ymm9, %%ymm9\n"
		     "vxorps %%xmm8, %%xmm8, %%xmm8",
			"xmm8");
	if (!strcmp(where, "zmm30"))
		HOLD("vmovq %%rax, %%xmm8\n"
		     "vpxorq %%zmm30, %%zmm30, %%zmm30\n"
		     "vinsertf64x4 $1, %%ymm8, %%zmm30, %%zmm30\n"
		     "vxorps %%xmm8, %%xmm8, %%xmm8",
			"xmm8");
	HOLD("", "rcx");
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc > 1)
		where = argv[1];
	if ((*where == 'y' && !__builtin_cpu_supports("avx")) ||
		(*where == 'z' && !__builtin_cpu_supports("avx512f")))
		return SKIP;
	hidden = make(MARKER);
	clobber();
	MUST(!pthread_create(&t, NULL, hold, NULL));
	while (!ready)
		;
	now();
	return 0;
}
