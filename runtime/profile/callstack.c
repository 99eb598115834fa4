/* SPDX-License-Identifier: MIT */
/*
 * callstack: the stack of every allocation, without walking it every time.
 *
 * From one allocation to the next, little changes but the inner end of the
 * stack. So each thread keeps a copy of its stack's frames as they were last
 * time, and a new walk stops where it meets the copy: at a frame with the
 * same pc, rsp and rbp. What lies outside of that frame is what it was if the
 * words that the earlier walk read there still hold the same values, because
 * a walk is a function of the registers it starts with and the words it
 * reads. Comparing them is three loads a frame that do not wait for each
 * other, where a walk is a chain of dependent loads: 0.5 ns against 4.
 *
 *	0 main                      |  outermost
 *	1 serve       compared      |
 *	2 parse       <-- met here  |
 *	3 list_new ┐ replaced by    |  tmp[1] string_new
 *	4 grow     ┘ what is walked v  tmp[0] xmalloc
 *
 * The ids of the blocks (stacktab.c) of the unchanged part are kept, too: so
 * only the last one or two blocks are looked up. And where every allocation is
 * recorded, the stacks of many earlier captures are kept as well (callmemo.c).
 * Here is who may use what a thread remembers, and when that is forgotten; how
 * it is compared and brought up to date is callstack_walk.c.
 *
 * Invariants, walked by callstack_check():
 *   I1  sp grows strictly from frame n - 1 to frame 0, except across ODD;
 *   I2  NEEDS is set in a frame iff a CFA outside of it was computed from the
 *       rbp that the frame has (USES: its own CFA);
 *   I3  chain[i] is the id of frames [base, base + STACK_BLOCK * (i + 1)),
 *       of full blocks at least;
 *   I4  frames outside the reach of the last capture may be out of date: each
 *       capture compares all that it uses.
 *
 * Locks: none; the thread owns its struct. A signal handler may come in the
 * middle and allocate: busy tells it to leave the struct alone. A handler
 * that then leaves by longjmp leaves busy set for a while; see enter().
 *
 * Measured against walking each time (4 ns a frame and hashing all of it), and
 * against patching return addresses to notice returns, which breaks C++
 * exceptions, longjmp and shadow stacks.
 */
#include "profile/callstack.h"
#include "base/fatal.h"
#include "os/sysmem.h"
#include "profile/callstack_parts.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind_step.h"

enum {
	PLAIN = 64,	   /* frames without a struct callstack */
	PATIENCE = 64,	   /* captures, see enter() */
	DEEPEST = 1 << 16, /* frames, against loops */
};

/* Bytes of a struct callstack and its arrays. */
static size_t bytes(size_t cap)
{
	size_t words = 5 + sizeof(struct frame) / 8 + 2 + 1;

	return ALIGN_UP(sizeof(struct callstack) + (cap + OWN) * words * 8,
		(size_t)OS_PAGE);
}

static size_t memo_bytes(void)
{
	return ALIGN_UP(sizeof(struct callmemo), (size_t)OS_PAGE);
}

struct callstack *callstack_new(size_t depth, bool often)
{
	size_t cap = MIN(depth, (size_t)STACK_MAX) + MORE;
	struct callstack *cs = sysmem_map(NULL, bytes(cap), SYS_BUCKHASH);

	if (!cs)
		return NULL;
	if (often)
		cs->memo = sysmem_map(NULL, memo_bytes(), SYS_BUCKHASH);
	cs->base = SIZE_MAX;
	cs->depth = cap - MORE;
	cs->cap = cap;
	cs->pc = (uintptr_t *)(cs + 1);
	cs->sp = cs->pc + cap;
	cs->bp = cs->sp + cap;
	cs->from = cs->bp + cap;
	cs->h = cs->from + cap;
	cs->tmp = (struct frame *)(cs->h + cap);
	cs->other = (uintptr_t *)(cs->tmp + cap);
	cs->scratch = (void **)(cs->other + cap);
	/* A chain has fewer than cap, a check is half as long as a link. */
	cs->chain = (uint32_t *)(cs->scratch + cap + OWN);
	cs->check = (uint16_t *)(cs->chain + cap / STACK_BLOCK + 1);
	return cs;
}

void callstack_free(struct callstack *cs)
{
	if (cs->memo)
		sysmem_unmap(cs->memo, memo_bytes(), SYS_BUCKHASH);
	sysmem_unmap(cs, bytes(cs->cap), SYS_BUCKHASH);
}

void callstack_reset(struct callstack *cs)
{
	cs->busy.sp = 0;
	cs->range = (struct stackrange){0};
	cs->n = cs->nchecks = 0;
	cs->base = SIZE_MAX;
	cs->memo_max = 0;
}

static uint32_t plain(const struct unwind_regs *r, size_t max)
{
	struct stackrange s = {0};
	uintptr_t pc[PLAIN];
	size_t n = unwind(r, &s, pc, MIN(max, (size_t)PLAIN));

	return stacktab_intern(pc, n, modules_generation());
}

static ALWAYS_INLINE uint32_t capture(
	struct callstack *cs, const struct unwind_regs *r, size_t max)
{
	struct unwind_state st = {.pc = r->pc, .sp = r->sp, .bp = r->bp};
	/* relaxed: a change while we run can only concern other stacks. */
	uint32_t rules = load_relaxed(&rulecache.epoch);
	uint32_t ranges = load_relaxed(&stackrange_epoch), id;

	if (unlikely(rules != cs->rules || ranges != cs->ranges)) {
		cs->n = 0;
		cs->rules = rules;
		cs->ranges = ranges;
		cs->memo_max = 0;
	}
	if (!unwind_start(r->sp, &cs->range) ||
		!unwind_skip_own(&st, &cs->range))
		return plain(r, max);
	if (cs->memo) {
		if (unlikely(cs->memo_max != max ||
			    cs->memo_generation != modules_generation())) {
			cs->memo_max = max;
			cs->memo_generation = modules_generation();
			memo_clear(cs->memo);
		}
		id = memo_find(cs->memo, &st);
		if (id)
			return id;
	}
	return callstack_walk(cs, &st, r, max);
}

/* The capture that holds cs is one of the frames outside of r. */
static COLD bool alive(const struct callstack *cs, const struct unwind_regs *r)
{
	struct unwind_state st = {.pc = r->pc, .sp = r->sp, .bp = r->bp};
	struct stackrange range = {0};
	enum step s = STEP_SP;

	if (!unwind_start(st.sp, &range))
		return true;
	for (size_t n = 0; n < DEEPEST && s < STEP_END; n++) {
		if (st.pc == cs->busy.pc && st.sp == cs->busy.sp)
			return true;
		s = unwind_step(&st, &range);
	}
	return s != STEP_END && s != STEP_NONE;
}

/*
 * Take hold of cs; false if it is in use, which means that this is a signal
 * handler that interrupted a capture. But a handler may have left a capture
 * for ever, by longjmp; so it is looked for, once in a while.
 */
static ALWAYS_INLINE bool enter(struct callstack *cs,
	const struct unwind_regs *r, const struct unwind_regs *caller)
{
	if (unlikely(cs->busy.sp)) {
		if (++cs->nested % PATIENCE || alive(cs, r))
			return false;
		cs->n = 0;
		cs->base = SIZE_MAX;
		cs->memo_max = 0;
	}
	cs->busy.pc = caller->pc;
	signal_fence();
	cs->busy.sp = caller->sp;
	signal_fence();
	return true;
}

NOINLINE uint32_t callstack_capture(
	struct callstack *cs, const struct unwind_regs *r, size_t max)
{
	struct unwind_regs caller;
	uint32_t id;

	unwind_caller(&caller);
	if (!cs || !enter(cs, r, &caller))
		return plain(r, max);
	id = capture(cs, r, MIN(max, cs->depth));
	signal_fence();
	cs->busy.sp = 0;
	return id;
}

void callstack_check(const struct callstack *cs)
{
	uintptr_t needs = 0;
	size_t check = 0;

	INVARIANT(cs->n <= cs->cap && !cs->busy.sp);
	for (size_t i = 0; i < cs->n; i++) {
		uintptr_t from = cs->from[i];
		bool must = from & FROM_ODD ||
			    (from & FROM_NEEDS && FROM_ADDR(from));

		if (i && !(cs->from[i - 1] & FROM_ODD))
			INVARIANT(cs->sp[i - 1] > cs->sp[i]); /* I1 */
		needs = from & FROM_USES ? FROM_NEEDS : needs;
		INVARIANT((from & FROM_NEEDS) == needs); /* I2 */
		needs = FROM_ADDR(from) ? 0 : needs;
		while (check < cs->nchecks && cs->check[check] < i)
			check++;
		INVARIANT(must == !!(from & FROM_CHECK));
		if (must)
			INVARIANT(check < cs->nchecks && cs->check[check] == i);
	}
	if (cs->base == SIZE_MAX)
		return;
	for (size_t at = cs->base; at < cs->n; at += STACK_BLOCK) {
		uintptr_t pc[STACK_MAX];
		uint32_t id = cs->chain[(at - cs->base) / STACK_BLOCK];
		size_t n = stacktab_frames(id, pc, STACK_MAX), end;

		end = MIN(at + STACK_BLOCK, cs->n);
		INVARIANT(n == end - cs->base); /* I3 */
		for (size_t i = 0; i < n; i++)
			INVARIANT(pc[i] == cs->pc[end - 1 - i]);
	}
}
