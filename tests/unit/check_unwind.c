/* SPDX-License-Identifier: MIT */
/* unwind() against libgcc's and libunwind's, on stacks of every kind. */
#include "support/agree.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

START_TEST(random_paths)
{
	unsigned seed = 1234;

	wander(3000, 60, &seed);
}
END_TEST

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	if (nchecked < 500)
		ALL_AGREE(false);
	return x < y ? -1 : x > y;
}

static void sort_leaf(struct maze *m)
{
	int v[64];

	for (size_t i = 0; i < 64; i++)
		v[i] = (int)(m->sum >> (i % 50)) ^ (int)(i * 2654435761u);
	qsort(v, 64, sizeof(*v), compare);
}

START_TEST(through_libc)
{
	static const uint8_t path[] = {3, 9, 14, 20, 30, 38};
	struct maze m = {.path = path, .depth = 6, .leaf = sort_leaf};

	maze_run(&m);
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
	ALL_AGREE(true);
}

static void raise_leaf(struct maze *m)
{
	(void)m;
	raise(SIGUSR1);
}

/* A handler on the same stack, then on one of its own. */
START_TEST(signal_frames)
{
	static const uint8_t path[] = {1, 12, 23, 34, 45, 56, 6, 7};
	struct maze m = {.path = path, .depth = 8, .leaf = raise_leaf};
	struct sigaction sa = {.sa_handler = on_signal};
	stack_t ss = {.ss_size = 1 << 17, .ss_sp = malloc(1 << 17)};

	for (int i = 0; i < 4; i++) {
		sa.sa_flags = i & 1 ? SA_ONSTACK : 0;
		sigaltstack(&ss, NULL);
		sigaction(SIGUSR1, &sa, NULL);
		for (m.depth = 1; m.depth <= 8; m.depth++)
			maze_run(&m);
		callstack_check(cs);
	}
	ss.ss_flags = SS_DISABLE;
	sigaltstack(&ss, NULL);
	free(ss.ss_sp);
}
END_TEST

static void on_step(int sig)
{
	(void)sig;
	ALL_AGREE(true);
}

static void busy_leaf(struct maze *m)
{
	char text[64];

	memset(text, 'x', sizeof(text));
	text[m->sum & 31] = 0;
	m->sum += strlen(text) + (uint64_t)getppid();
}

/* Interrupted everywhere: in prologues, epilogues, PLT entries, the binder. */
START_TEST(every_instruction)
{
	uint8_t path[16];
	struct maze m = {.path = path, .depth = 16, .leaf = busy_leaf};
	struct sigaction sa = {.sa_handler = on_step};

	sigaction(SIGTRAP, &sa, NULL);
	for (uint8_t round = 0; round < 8; round++) {
		for (uint8_t k = 0; k < 16; k++)
			path[k] = (uint8_t)(k + 16 * round + k / 8);
		single_step(ON);
		maze_run(&m);
		single_step(OFF);
	}
	ck_assert_uint_gt(nchecked, 5000);
}
END_TEST

static ucontext_t main_context, coroutine[3];

static void coroutine_leaf(struct maze *m)
{
	ALL_AGREE(false);
	swapcontext(&coroutine[(uintptr_t)m->arg], &main_context);
	ALL_AGREE(false);
}

static void coroutine_main(int number)
{
	uint8_t path[20];
	struct maze m = {.path = path,
		.leaf = coroutine_leaf,
		.arg = (void *)(uintptr_t)number};
	unsigned seed = (unsigned)number;

	for (;;) {
		m.depth = 1 + (size_t)rand_r(&seed) % 20;
		for (size_t k = 0; k < m.depth; k++)
			path[k] = (uint8_t)rand_r(&seed);
		maze_run(&m);
	}
}

START_TEST(coroutines)
{
	enum { SIZE = 1 << 18 };
	char *stack[3];

	/* volatile: getcontext() may return twice, for all the compiler knows */
	for (volatile int i = 0; i < 3; i++) {
		stack[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		getcontext(&coroutine[i]);
		coroutine[i].uc_stack.ss_sp = stack[i];
		coroutine[i].uc_stack.ss_size = SIZE;
		makecontext(
			&coroutine[i], (void (*)(void))coroutine_main, 1, i);
	}
	for (int k = 0; k < 300; k++) {
		swapcontext(&main_context, &coroutine[k % 3]);
		ALL_AGREE(false);
	}
	for (int i = 0; i < 3; i++) {
		munmap(stack[i], SIZE);
		stackrange_unmapped(
			(uintptr_t)stack[i], (uintptr_t)stack[i] + SIZE);
	}
	ALL_AGREE(false);
}
END_TEST

static void *thread_main(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	cs = callstack_new(STACK_MAX, false);
	often = callstack_new(STACK_MAX, true);
	wander(400, 40, &seed);
	callstack_check(cs);
	callstack_free(cs);
	callstack_free(often);
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, thread_main, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ALL_AGREE(false);
}
END_TEST

/*
 * Frames that the compiler does not make: the CFA in another register, behind
 * a pointer, far away; rbp moved about; no unwind table at all.
 */
void asm_rbx(void (*f)(void)), asm_r12_r13(void (*f)(void));
void asm_load(void (*f)(void)), asm_far(void (*f)(void));
void asm_sum(void (*f)(void));
__asm__(".text\n"
	".type asm_rbx, @function\n"
	"asm_rbx:\n"
	".cfi_startproc\n"
	"	push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset %rbx, -16\n"
	"	mov %rsp, %rbx\n"
	".cfi_def_cfa_register %rbx\n"
	"	and $-256, %rsp\n"
	"	call *%rdi\n"
	"	mov %rbx, %rsp\n"
	"	pop %rbx\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type asm_r12_r13, @function\n"
	"asm_r12_r13:\n"
	".cfi_startproc\n"
	"	push %r12\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset %r12, -16\n"
	"	push %r13\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset %r13, -24\n"
	"	mov %rbp, %r13\n"
	".cfi_register %rbp, %r13\n"
	"	lea 24(%rsp), %r12\n"
	".cfi_def_cfa %r12, 0\n"
	"	xor %ebp, %ebp\n"
	"	sub $40, %rsp\n"
	"	call *%rdi\n"
	"	add $40, %rsp\n"
	"	mov %r13, %rbp\n"
	"	pop %r13\n"
	"	pop %r12\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type asm_load, @function\n"
	"asm_load:\n"
	".cfi_startproc\n"
	"	mov %rsp, %rax\n"
	"	sub $88, %rsp\n"
	"	and $-64, %rsp\n"
	"	mov %rax, 40(%rsp)\n"
	/* def_cfa_expression: breg7 40, deref, plus_uconst 8 */
	".cfi_escape 0x0f, 0x05, 0x77, 0x28, 0x06, 0x23, 0x08\n"
	"	call *%rdi\n"
	"	mov 40(%rsp), %rsp\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type asm_sum, @function\n"
	"asm_sum:\n"
	".cfi_startproc\n"
	"	push %r14\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset %r14, -16\n"
	"	mov $5, %r14d\n"
	"	sub $48, %rsp\n"
	/* rsp + r14 * 8 + 24 */
	".cfi_escape 0x0f, 0x09, 0x77, 0x00, 0x7e, 0x00, 0x38, 0x1e, 0x22,"
	" 0x23, 0x18\n"
	"	call *%rdi\n"
	"	add $48, %rsp\n"
	"	pop %r14\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type asm_far, @function\n"
	"asm_far:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_offset %rbp, -16\n"
	"	mov $0x55, %ebp\n"
	"	sub $300000, %rsp\n"
	".cfi_adjust_cfa_offset 300000\n"
	"	call *%rdi\n"
	"	add $300000, %rsp\n"
	".cfi_adjust_cfa_offset -300000\n"
	"	pop %rbp\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n");

static void agree(void)
{
	ALL_AGREE(false);
}

static void asm_leaf(struct maze *m)
{
	void (*const *f)(void (*)(void)) = m->arg;

	(*f)(agree);
}

START_TEST(odd_frames)
{
	static void (*const odd[])(void (*)(void)) = {
		asm_rbx, asm_r12_r13, asm_load, asm_far, asm_sum};
	static const uint8_t path[] = {3, 9, 14, 20, 30, 38};
	struct maze m = {.path = path, .leaf = asm_leaf};

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 5; i++) {
			m.arg = (void *)&odd[i];
			m.depth = (i + (size_t)round) % 6;
			maze_run(&m);
		}
	}
}
END_TEST

/*
 * Code without unwind tables: one with a frame pointer, one with 0x55 in rbp.
 */
void bare_fp(void (*f)(void)), bare_lost(void (*f)(void));
__asm__(".text\n"
	".type bare_fp, @function\n"
	"bare_fp:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	sub $96, %rsp\n"
	"	call *%rdi\n"
	"	leave\n"
	"	ret\n"
	".type bare_lost, @function\n"
	"bare_lost:\n"
	"	push %rbp\n"
	"	mov $0x55, %ebp\n"
	"	sub $96, %rsp\n"
	"	call *%rdi\n"
	"	add $96, %rsp\n"
	"	pop %rbp\n"
	"	ret\n");

static void leaf_lost(void)
{
	uintptr_t ours[MAX], fast[MAX];
	size_t n = by_unwind(ours, MAX), n_fast = by_callstack(fast, MAX);

	expect("lost", 0, n, n, 2, n == 2);
	expect("lost, callstack", 0, n, n_fast, 2, n_fast == 2);
	expect("lost", 1, n, ours[1], fast[1], ours[1] == fast[1]);
	expect("lost", 1, n, ours[1], (uintptr_t)bare_lost,
		ours[1] - (uintptr_t)bare_lost < 30);
	nchecked++;
}

/* How many frames there are outside of the caller, and of its caller. */
static uintptr_t outer[MAX];
static size_t nouter;

static void leaf_fp(void)
{
	uintptr_t ours[MAX], fast[MAX];
	size_t n = by_unwind(ours, MAX), n_fast = by_callstack(fast, MAX);

	expect("fp", 0, n, n, nouter + 2, n == nouter + 2);
	expect("fp, callstack", 0, n, n_fast, n, n_fast == n);
	for (size_t i = 1; i < n; i++)
		expect("fp, callstack", i, n, fast[i], ours[i],
			fast[i] == ours[i]);
	for (size_t i = 1; i < nouter; i++)
		expect("fp", i, n, ours[i + 2], outer[i],
			ours[i + 2] == outer[i]);
	nchecked++;
}

NOINLINE static void call_bare(void (*bare)(void (*)(void)), void (*f)(void))
{
	nouter = by_unwind(outer, MAX);
	bare(f);
	nchecked++;
}

/* In machine code that no module holds, as a JIT would make it. */
static void *jit(void *code, size_t size)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memcpy(p, code, size);
}

START_TEST(no_tables)
{
	void (*copy)(void (*)(void)) = (void (*)(void (*)(void)))(uintptr_t)jit(
		(void *)(uintptr_t)bare_fp, 32);

	for (int i = 0; i < 3; i++) {
		call_bare(bare_fp, leaf_fp);
		call_bare(bare_lost, leaf_lost);
		call_bare(copy, leaf_fp);
	}
}
END_TEST

/* Any registers at all: a stack of any length, and no crash. */
START_TEST(random_registers)
{
	enum { SIZE = 1 << 16 };
	char *area = mmap(
		NULL, 3 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t code[MAX], pc[MAX];
	size_t ncode = by_unwind(code, MAX);
	unsigned seed = 4;

	mprotect(area + SIZE, SIZE, PROT_READ | PROT_WRITE);
	area += SIZE;
	for (size_t i = 0; i < SIZE / 8; i++) {
		unsigned what = (unsigned)rand_r(&seed) % 8;
		uintptr_t *word = (uintptr_t *)area + i;

		if (what < 4)
			*word = code[what % ncode] - what / 2;
		else if (what < 7)
			*word = (uintptr_t)area - SIZE +
				(unsigned)rand_r(&seed) % (3 * SIZE) / 8 * 8;
		else
			*word = (uintptr_t)rand_r(&seed) << 20;
	}
	for (int i = 0; i < 100000; i++) {
		struct unwind_regs r = {
			.pc = code[(unsigned)rand_r(&seed) % ncode] +
			      (unsigned)rand_r(&seed) % 64,
			.sp = (uintptr_t)area +
			      (unsigned)rand_r(&seed) % (SIZE + 64) / 8 * 8,
			.bp = (uintptr_t)area - SIZE +
			      (unsigned)rand_r(&seed) % (3 * SIZE)};

		if (i % 50 == 0)
			r.sp = (uintptr_t)rand_r(&seed) << (i % 40);
		if (i % 10 == 0)
			r.pc = ((uintptr_t *)area)[i % 1000];
		nchecked += unwind(&r, &range, pc, MAX);
		callstack_capture(cs, &r, MAX);
	}
	munmap(area - SIZE, 3 * SIZE);
	stackrange_unmapped((uintptr_t)area, (uintptr_t)area + SIZE);
	ALL_AGREE(false);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unwind");
	TCase *tc = tcase_create("unwind");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, random_paths);
	tcase_add_test(tc, through_libc);
	tcase_add_test(tc, signal_frames);
	if (!SIGNALS_COME_LATE)
		tcase_add_test(tc, every_instruction);
	tcase_add_test(tc, coroutines);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, odd_frames);
	tcase_add_test(tc, no_tables);
	tcase_add_test(tc, random_registers);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
