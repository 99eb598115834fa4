/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_AGREE_H
#define GOSTAT_TESTS_AGREE_H

/*
 * The stack of the caller by every unwinder at hand, compared: ours two ways,
 * libgcc's (libc's backtrace), libunwind's. For check_unwind and
 * check_callstack.
 */

#include "profile/callstack.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "support/callmaze.h"
#include "support/sanitizer.h"

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <check.h>
#include <dlfcn.h>
#include <stdlib.h>

enum { MAX = 200 };

static int (*libc_backtrace)(void **, int);
static __thread struct callstack *cs, *often;
static __thread struct stackrange range;
static __thread uint64_t nchecked;

/*
 * The first disagreement. Assertions take a lock and are slow; so they are
 * made in teardown(), not in signal handlers and for each frame.
 */
static struct {
	const char *what;
	size_t frame, n;
	uintptr_t ours, theirs;
} wrong;

static inline void expect(const char *what, size_t frame, size_t n,
	uintptr_t ours, uintptr_t theirs, bool same)
{
	if (same || wrong.what)
		return;
	wrong.frame = frame;
	wrong.n = n;
	wrong.ours = ours;
	wrong.theirs = theirs;
	wrong.what = what;
}

/* libunwind exports a backtrace(), too, which is not the one we mean. */
static inline void setup(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY), *pc[4];

	libc_backtrace = (int (*)(void **, int))dlsym(libc, "backtrace");
	libc_backtrace(pc, 4); /* loads libgcc_s */
	modules_refresh();
	cs = callstack_new(STACK_MAX, false);
	often = callstack_new(STACK_MAX, true);
	nchecked = 0;
}

static inline void teardown(void)
{
	ck_assert_msg(!wrong.what, "%s: frame %zu of %zu: %#lx, not %#lx",
		wrong.what, wrong.frame, wrong.n, wrong.ours, wrong.theirs);
	ck_assert_uint_gt(nchecked, 0);
	callstack_check(cs);
	callstack_free(cs);
	callstack_check(often);
	callstack_free(often);
	modules_check();
	stacktab_check();
}

NOINLINE UNUSED static size_t by_unwind(uintptr_t *pc, size_t max)
{
	struct unwind_regs r;

	unwind_caller(&r);
	return unwind(&r, &range, pc, max);
}

NOINLINE UNUSED static size_t by_callstack(uintptr_t *pc, size_t max)
{
	struct unwind_regs r;

	unwind_caller(&r);
	return stacktab_frames(callstack_capture(cs, &r, max), pc, max);
}

/* The same by way of what is kept of many captures: ids must be equal, too. */
NOINLINE UNUSED static void captures_agree(size_t max)
{
	struct unwind_regs r;
	uint32_t one, other;

	unwind_caller(&r);
	one = callstack_capture(cs, &r, max);
	other = callstack_capture(often, &r, max);
	expect("kept stack", 0, 0, one, other, one == other);
}

/*
 * The stack from the caller's caller on, by every method. Frame 0 is the call
 * to the method itself and differs. interrupted: a signal's frame is in it.
 */
NOINLINE UNUSED static void all_agree(size_t max, bool interrupted)
{
	uintptr_t ours[MAX], fast[MAX];
	void *libc[MAX], *other[MAX];
	size_t n = by_unwind(ours, max), n_fast = by_callstack(fast, max);
	size_t n_libc = (size_t)libc_backtrace(libc, (int)max);
	size_t n_other = 0;

	captures_agree(max);
	/*
	 * libunwind does not see through every prologue; and its per-thread
	 * data outlives ThreadSanitizer's.
	 */
	if (!interrupted && !SIGNALS_COME_LATE)
		n_other = (size_t)unw_backtrace(other, (int)max);
	expect("length, libc", 0, n, n, n_libc, n == n_libc);
	expect("length, callstack", 0, n, n, n_fast, n == n_fast);
	for (size_t i = 1; i < n; i++) {
		uintptr_t l = (uintptr_t)libc[i];

		expect("libc", i, n, ours[i], l,
			ours[i] == l || (interrupted && ours[i] == l + 1));
		expect("callstack", i, n, ours[i], fast[i], ours[i] == fast[i]);
		if (n_other)
			expect("libunwind", i, n, ours[i], (uintptr_t)other[i],
				ours[i] == (uintptr_t)other[i]);
	}
	if (n_other)
		expect("length, libunwind", 0, n, n, n_other, n == n_other);
	nchecked++;
}

#define ALL_AGREE(interrupted) all_agree(MAX, interrupted)

static inline void leaf(struct maze *m)
{
	(void)m;
	ALL_AGREE(false);
}

/* Paths that keep a random outer part of the one before. */
static inline void wander(size_t rounds, size_t max_depth, unsigned *seed)
{
	uint8_t path[256];
	struct maze m = {.path = path, .leaf = leaf};

	for (size_t i = 0; i < rounds; i++) {
		size_t keep = m.depth ? (size_t)rand_r(seed) % m.depth : 0;

		m.depth = 1 + (size_t)rand_r(seed) % max_depth;
		for (size_t k = keep; k < m.depth; k++)
			path[k] = (uint8_t)rand_r(seed);
		maze_run(&m);
		if (i % 16 == 0)
			callstack_check(cs);
	}
}

/* The processor's single-step mode: SIGTRAP after each instruction. */
void single_step(uint64_t flag);
__asm__(".text\n"
	".type single_step, @function\n"
	"single_step:\n"
	".cfi_startproc\n"
	"	pushfq\n"
	".cfi_adjust_cfa_offset 8\n"
	"	andq $~0x100, (%rsp)\n"
	"	orq %rdi, (%rsp)\n"
	"	popfq\n"
	".cfi_adjust_cfa_offset -8\n"
	"	ret\n"
	".cfi_endproc\n");

enum { OFF, ON = 0x100 };

#endif
