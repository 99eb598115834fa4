/* SPDX-License-Identifier: MIT */
/* aside: what a call on a stack of ours leaves behind. */
#include "gc/aside.h"

#include <check.h>
#include <string.h>

#define SECRET UINT64_C(0x5ec7e75ec7e75ec7)

/* Named in assembly. */
#define NAMED static __attribute__((used))

NAMED struct {
	uint64_t general[8];
	uint64_t vector[32][8];
	uint64_t mask[8];
} seen;
NAMED bool wide, widest;
NAMED uint64_t secret[8] __attribute__((aligned(64)));
static uintptr_t inside, below;

static void setup(void)
{
	__builtin_cpu_init();
	wide = __builtin_cpu_supports("avx");
	widest = __builtin_cpu_supports("avx512f") &&
		 __builtin_cpu_supports("avx512bw");
	memset(&seen, 0, sizeof(seen));
	for (size_t i = 0; i < 8; i++)
		secret[i] = SECRET;
}

/* Into all registers that a function may change. */
__attribute__((naked, noinline)) static void know(void *p UNUSED)
{
	__asm__("	cmpb	$0, widest(%rip)\n"
		"	je	1f\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	vmovdqu64	secret(%rip), %zmm\\r\n"
		".endr\n"
		".irp	r, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		"	vmovdqu64	secret(%rip), %zmm\\r\n"
		".endr\n"
		".irp	r, 0,1,2,3,4,5,6,7\n"
		"	kmovq	secret(%rip), %k\\r\n"
		".endr\n"
		"	jmp	3f\n"
		"1:	cmpb	$0, wide(%rip)\n"
		"	je	2f\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	vmovdqu	secret(%rip), %ymm\\r\n"
		".endr\n"
		"	jmp	3f\n"
		"2:\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	movdqu	secret(%rip), %xmm\\r\n"
		".endr\n"
		"3:\n"
		".irp	r, rcx,rdx,rsi,rdi,r8,r9,r10,r11\n"
		"	movq	secret(%rip), %\\r\n"
		".endr\n"
		"	ret\n");
}

/* Call f(fn, NULL), and write down what is in them afterwards. */
__attribute__((naked, noinline)) static void
watch(void (*f)(void (*fn)(void *), void *) UNUSED,
	void (*fn)(void *) UNUSED)
{
	__asm__("	pushq	%rbx\n"
		"	movq	%rdi, %rax\n"
		"	movq	%rsi, %rdi\n"
		"	xorl	%esi, %esi\n"
		"	call	*%rax\n"
		"	leaq	seen(%rip), %rbx\n"
		".set	at, 0\n"
		".irp	r, rcx,rdx,rsi,rdi,r8,r9,r10,r11\n"
		"	movq	%\\r, at(%rbx)\n"
		".set	at, at + 8\n"
		".endr\n"
		"	cmpb	$0, widest(%rip)\n"
		"	je	1f\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	vmovdqu64	%zmm\\r, 64 + \\r * 64(%rbx)\n"
		".endr\n"
		".irp	r, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
		"	vmovdqu64	%zmm\\r, 64 + \\r * 64(%rbx)\n"
		".endr\n"
		".irp	r, 0,1,2,3,4,5,6,7\n"
		"	kmovq	%k\\r, 64 + 32 * 64 + \\r * 8(%rbx)\n"
		".endr\n"
		"	jmp	3f\n"
		"1:	cmpb	$0, wide(%rip)\n"
		"	je	2f\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	vmovdqu	%ymm\\r, 64 + \\r * 64(%rbx)\n"
		".endr\n"
		"	jmp	3f\n"
		"2:\n"
		".irp	r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"	movdqu	%xmm\\r, 64 + \\r * 64(%rbx)\n"
		".endr\n"
		"3:	popq	%rbx\n"
		"	ret\n");
}

static size_t known(void)
{
	const uint64_t *word = (const uint64_t *)&seen;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(seen) / sizeof(*word); i++)
		n += word[i] == SECRET;
	return n;
}

static void straight(void (*fn)(void *), void *arg)
{
	fn(arg);
}

START_TEST(registers_are_forgotten)
{
	/* First that watch() sees it if they are not. */
	watch(straight, know);
	ck_assert_uint_eq(known(), widest ? 8 + 32 * 8 + 8
				   : wide ? 8 + 16 * 4 : 8 + 16 * 2);
	watch(aside_call, know);
	ck_assert_uint_eq(known(), 0);
}
END_TEST

static void look_around(void *arg)
{
	int here;

	inside = (uintptr_t)&here;
	below = aside_sp;
	if (arg)
		aside_call(look_around, NULL);
}

START_TEST(on_another_stack)
{
	int here;
	uintptr_t sp = (uintptr_t)&here;

	for (int nested = 0; nested < 2; nested++) {
		aside_call(look_around, nested ? &here : NULL);
		ck_assert_uint_lt(sp - below, 64 * KIB);
		ck_assert_uint_gt(inside - below + 64 * KIB, 128 * KIB);
		ck_assert_uint_eq(aside_sp, 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("aside");
	TCase *t = tcase_create("aside");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, registers_are_forgotten);
	tcase_add_test(t, on_another_stack);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
