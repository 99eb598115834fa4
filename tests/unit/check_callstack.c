/* SPDX-License-Identifier: MIT */
/*
 * callstack_capture() where it differs from a plain walk: what it remembers
 * must not outlive what it was true of. (check_unwind compares the two on
 * every other kind of stack.)
 */
#include "base/atomics.h"
#include "support/agree.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>

/* A tower of calls higher than what is kept. */
NOINLINE static uint64_t tower(size_t depth, size_t max)
{
	uint64_t r = depth * 3;

	if (depth % 7 == 0)
		all_agree(max, false);
	if (depth)
		r ^= tower(depth - 1, max);
	if (depth % 11 == 0)
		all_agree(max, false);
	return r + 1;
}

START_TEST(deeper_than_max)
{
	static const size_t max[] = {MAX, 64, 10, 1};

	for (size_t i = 0; i < 4; i++) {
		tower(400, max[i]);
		callstack_check(cs);
	}
}
END_TEST

/*
 * Stacks that come again, and some that differ from one of these in a single
 * frame, whose size is mostly the same. Without frames that are realigned:
 * stacks with these are not kept.
 */
START_TEST(seen_before)
{
	static const uint8_t shape[] = {0, 1, 2, 3, 7};
	static uint8_t path[48][40];
	unsigned seed = 77;
	struct maze m = {.leaf = leaf};

	for (size_t i = 0; i < NELEM(path); i++)
		for (size_t k = 0; k < NELEM(path[i]); k++)
			path[i][k] = (rand_r(&seed) & 0x38) |
				shape[(size_t)rand_r(&seed) % NELEM(shape)];
	for (int round = 0; round < 4000; round++) {
		uint8_t *p = path[(size_t)rand_r(&seed) % NELEM(path)];

		m.path = p;
		m.depth = 8 + (size_t)(p[0] % 32);
		m.at = 0;
		m.sum = 0; /* call sites depend on it */
		if (rand_r(&seed) % 4 == 0)
			p[(size_t)rand_r(&seed) % m.depth] ^=
				8 << rand_r(&seed) % 3;
		maze_run(&m);
	}
}
END_TEST

/* Every frame of a stack as deep as can be kept, going up and down. */
static uintptr_t deep[STACK_MAX], theirs[STACK_MAX];

NOINLINE static uint64_t mine_shaft(size_t depth)
{
	uint64_t r = depth * 5;
	size_t n, n_theirs;

	if (depth)
		r ^= mine_shaft(depth - 1);
	if (depth % 97 && depth % 101)
		return r + 1;
	n = by_callstack(deep, STACK_MAX);
	n_theirs = (size_t)libc_backtrace((void **)theirs, STACK_MAX);
	expect("deep, length", 0, n, n, n_theirs, n == n_theirs);
	for (size_t i = 1; i < n; i++)
		expect("deep", i, n, deep[i], theirs[i], deep[i] == theirs[i]);
	nchecked++;
	return r + 1;
}

START_TEST(every_frame)
{
	mine_shaft(5000);
	callstack_check(cs);
	mine_shaft(500);
	mine_shaft(1500);
}
END_TEST

/* A handler that captures, at each instruction of a capture. */
static uintptr_t handler_pc[MAX];
static size_t handler_n;

static void on_step_capture(int sig)
{
	size_t n = by_callstack(handler_pc, MAX);

	(void)sig;
	expect("nested, length", 0, n, n, 0, n > handler_n);
	nchecked++;
}

START_TEST(captures_in_captures)
{
	struct sigaction sa = {.sa_handler = on_step_capture};
	uintptr_t before[MAX], during[MAX];
	size_t n, n_during;

	sigaction(SIGTRAP, &sa, NULL);
	n = by_callstack(before, MAX);
	handler_n = n;
	for (int round = 0; round < 3; round++) {
		single_step(ON);
		n_during = by_callstack(during, MAX);
		single_step(OFF);
		ck_assert_uint_eq(n, n_during);
		for (size_t i = 1; i < n; i++)
			ck_assert_uint_eq(before[i], during[i]);
		callstack_check(cs);
		ALL_AGREE(false);
	}
}
END_TEST

/* A handler that leaves a capture for good. */
static sigjmp_buf out;
static int steps_left;

static void on_step_leave(int sig)
{
	(void)sig;
	if (!steps_left--)
		siglongjmp(out, 1);
}

START_TEST(abandoned_captures)
{
	struct sigaction sa = {.sa_handler = on_step_leave};
	uintptr_t pc[MAX];

	sigaction(SIGTRAP, &sa, NULL);
	by_callstack(pc, MAX);
	for (volatile int after = 1; after < 600; after += 13) {
		steps_left = after;
		if (!sigsetjmp(out, 1)) {
			single_step(ON);
			by_callstack(pc, MAX);
			single_step(OFF);
		}
		ALL_AGREE(false);
	}
	/* After a while the struct is in use again. */
	for (int i = 0; i < 70; i++)
		ALL_AGREE(false);
	callstack_check(cs);
}
END_TEST

/*
 * Two ways, x and y, to the same frames b, c, d at the same addresses, by way
 * of a, whose frame lies 32 bytes lower under y. Only rbp, which d has saved,
 * tells; where a's return address was under x, it still stands under y. b
 * calls twice, the second time e and f, which are like c and d.
 */
void way_x(void (*f)(void)), way_y(void (*f)(void));
__asm__(".text\n"
	".type way_a, @function\n"
	"way_a:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n"
	".cfi_def_cfa_register %rbp\n"
	"	sub %rsi, %rsp\n"
	"	call way_b\n"
	"	leave\n"
	".cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_b, @function\n"
	"way_b:\n"
	".cfi_startproc\n"
	"	sub $24, %rsp\n"
	".cfi_def_cfa_offset 32\n"
	"	mov %rdi, (%rsp)\n"
	"	call way_c\n"
	"	mov (%rsp), %rdi\n"
	"	call way_e\n"
	"	add $24, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_c, @function\n"
	"way_c:\n"
	".cfi_startproc\n"
	"	sub $8, %rsp\n"
	".cfi_def_cfa_offset 16\n"
	"	call way_d\n"
	"	add $8, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_d, @function\n"
	"way_d:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"	xor %ebp, %ebp\n"
	"	call *%rdi\n"
	"	pop %rbp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_e, @function\n"
	"way_e:\n"
	".cfi_startproc\n"
	"	sub $8, %rsp\n"
	".cfi_def_cfa_offset 16\n"
	"	call way_f\n"
	"	add $8, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_f, @function\n"
	"way_f:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"	xor %ebp, %ebp\n"
	"	call *%rdi\n"
	"	pop %rbp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_x, @function\n"
	"way_x:\n"
	".cfi_startproc\n"
	"	sub $24, %rsp\n"
	".cfi_def_cfa_offset 32\n"
	"	mov $64, %esi\n"
	"	call way_a\n"
	"	add $24, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n"
	".type way_y, @function\n"
	"way_y:\n"
	".cfi_startproc\n"
	"	sub $56, %rsp\n"
	".cfi_def_cfa_offset 64\n"
	"	mov $32, %esi\n"
	"	call way_a\n"
	"	add $56, %rsp\n"
	".cfi_def_cfa_offset 8\n"
	"	ret\n"
	".cfi_endproc\n");

static unsigned times;

static void agree(void)
{
	/* y's first is left out: there the second time follows x's. */
	if (times++ % 4 != 2)
		all_agree(MAX, false);
}

START_TEST(saved_rbp_differs)
{
	for (int i = 0; i < 8; i++) {
		void (*volatile way)(void (*)(void)) = i & 1 ? way_y : way_x;

		way(agree);
		callstack_check(cs);
	}
}
END_TEST

/*
 * Two libraries with the same code but for the size of their frames take each
 * other's place.
 */
static uint32_t plugin_stack;
static void *plugin_handle;
static int (*plugin_run)(void (*)(void));

static void plugin_leaf(void)
{
	struct unwind_regs r;

	all_agree(MAX, true); /* libunwind is confused here, leave it out */
	unwind_caller(&r);
	plugin_stack = callstack_capture(cs, &r, MAX);
}

enum { PLUGIN_DIFFERENCE = (50 - 40) * sizeof(long) };

/*
 * Loading is done by another thread, while this one waits without a call, so
 * that the stack below keeps what the plugin before has left there.
 */
static const char *wanted; /* atomic */

static void *loader(void *arg)
{
	static const char *const path[] = {PLUGIN_A, PLUGIN_B};

	(void)arg;
	for (int i = 0; i < 7; i++) {
		while (!load_acquire(&wanted))
			sched_yield();
		if (plugin_handle)
			dlclose(plugin_handle);
		unwind_flush();
		plugin_handle = dlopen(path[i & 1], RTLD_NOW);
		*(void **)&plugin_run = dlsym(plugin_handle, "plugin_run");
		store_release(&wanted, NULL);
	}
	return NULL;
}

NOINLINE static void run_replaced(bool b)
{
	/* B's frame is larger: so its leaf lies where A's did. */
	size_t pad = b ? 1024 : 1024 + PLUGIN_DIFFERENCE;
	char *p = alloca(pad);

	maze_touch(p);
	store_release(&wanted, "more");
	while (load_acquire(&wanted))
		;
	if (b) {
		plugin_run(plugin_leaf);
		nchecked++;
	} else {
		plugin_run(plugin_leaf);
		nchecked += 2; /* a different place to return to */
	}
}

START_TEST(library_replaced)
{
	uint32_t first[2] = {0, 0}, generation = modules_generation();
	uintptr_t at[2], pc[MAX];
	pthread_t t;

	pthread_create(&t, NULL, loader, NULL);
	for (int i = 0; i < 6; i++) {
		run_replaced(i & 1);
		at[i & 1] = (uintptr_t)plugin_run;
		if (i < 2)
			first[i] = plugin_stack;
	}
	store_release(&wanted, "more");
	pthread_join(t, NULL);
	/* Where they lie is up to the kernel; it likes the same place. */
	ck_assert_uint_eq(at[0], at[1]);
	ck_assert_uint_eq(modules_generation(), generation + 5);
	for (int i = 0; i < 2; i++) {
		const struct module *m;

		stacktab_frames(first[i], pc, MAX);
		m = modules_find(pc[0] - 1, stacktab_generation(first[i]));
		ck_assert_ptr_nonnull(m);
		ck_assert_str_eq(m->path, i ? PLUGIN_B : PLUGIN_A);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("callstack");
	TCase *tc = tcase_create("callstack");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, deeper_than_max);
	tcase_add_test(tc, seen_before);
	tcase_add_test(tc, every_frame);
	if (!SIGNALS_COME_LATE)
		tcase_add_test(tc, captures_in_captures);
	if (!SIGNALS_COME_LATE)
		tcase_add_test(tc, abandoned_captures);
	tcase_add_test(tc, saved_rbp_differs);
	tcase_add_test(tc, library_replaced);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
