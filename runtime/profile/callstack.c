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
 *	frame[0] main                      |  outermost
 *	frame[1] serve       compared      |
 *	frame[2] parse       <-- met here  |
 *	frame[3] list_new ┐ replaced by    |  tmp[1] string_new
 *	frame[4] grow     ┘ what is walked v  tmp[0] xmalloc
 *
 * The words read are the return addresses, at sp - 8 of the frame outside,
 * and, where a later CFA depends on it, the saved rbp. Steps that read more
 * than that (signal frames, realigned stacks, guesses) are marked ODD and
 * taken again each time.
 *
 * The ids of the blocks (stacktab.c) of the unchanged part are kept, too: so
 * only the last one or two blocks are looked up.
 *
 * Invariants, walked by callstack_check():
 *   I1  sp grows strictly from frame[n - 1] to frame[0], except across ODD;
 *   I2  NEEDS is set in a frame iff a CFA outside of it was computed from the
 *       rbp that the frame has (USES: its own CFA);
 *   I3  chain[i] is the id of frames [base, base + 8 * (i + 1)), of full
 *       blocks at least;
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
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_step.h"

enum {
	/*
	 * A stack deeper than max is walked this much farther, so that it may
	 * shrink by as many frames before it has to be walked again.
	 */
	SLACK = 64,
	CAP = STACK_MAX + 2 * SLACK,
	OWN = 16,	   /* our own frames, in libunwind's eyes */
	PLAIN = 64,	   /* frames without a struct callstack */
	PATIENCE = 64,	   /* captures, see enter() */
	DEEPEST = 1 << 16, /* frames, against loops */
};

/* Flags in frame.from, above the address. */
#define FROM_CHECK (1ul << 63) /* ODD, or NEEDS and an address */
#define FROM_ODD (1ul << 62)   /* the step to this frame was not a plain one */
#define FROM_USES (1ul << 61)
#define FROM_NEEDS (1ul << 60)
#define FROM_ADDR(from) ((from) & (FROM_NEEDS - 1))

struct frame {
	uintptr_t pc, sp, bp;
	uintptr_t from; /* where the step to this frame found bp, and flags */
};

struct callstack {
	/* The caller of the capture in progress; sp 0: there is none. */
	struct unwind_regs busy;
	uint32_t nested;	/* captures since busy was set, see enter() */
	uint32_t rules, ranges; /* epochs that frame[] belongs to */
	struct stackrange range;
	size_t n;
	bool whole;  /* frame[0] is the outermost one there is */
	size_t base; /* chain[] begins at this frame; SIZE_MAX: nowhere */
	uint32_t generation;
	uint32_t id; /* of frames [base, n) */
	uint32_t chain[STACK_MAX / STACK_BLOCK + 1];
	struct frame frame[CAP]; /* outermost first */
	struct frame tmp[CAP];	 /* a walk in progress, innermost first */
	void *scratch[STACK_MAX + OWN];
	uintptr_t pc[STACK_MAX];
};

struct walk {
	struct callstack *cs;
	struct unwind_state st;
	size_t max;
	size_t d;      /* frames in tmp */
	size_t shared; /* frames of cs->frame that are still right */
	enum step end; /* why it ended, STEP_SP: not at an end */
};

static bool no_libunwind;

void callstack_postfork_child(void)
{
	no_libunwind = true;
}

struct callstack *callstack_new(void)
{
	struct callstack *cs = sysmem_map(
		NULL, ALIGN_UP(sizeof(*cs), (size_t)OS_PAGE), SYS_BUCKHASH);

	if (cs)
		cs->base = SIZE_MAX;
	return cs;
}

void callstack_free(struct callstack *cs)
{
	sysmem_unmap(cs, ALIGN_UP(sizeof(*cs), (size_t)OS_PAGE), SYS_BUCKHASH);
}

static uint32_t plain(const struct unwind_regs *r, size_t max)
{
	struct stackrange s = {0};
	uintptr_t pc[PLAIN];
	size_t n = unwind(r, &s, pc, MIN(max, (size_t)PLAIN));

	return stacktab_intern(pc, n, modules_generation());
}

/*
 * Frame i of those that hold, joined in frame t with rbp bp: the rbp there.
 * Frames that nobody needs it of have not been compared.
 */
static uintptr_t true_bp(
	const struct callstack *cs, size_t i, size_t t, uintptr_t bp)
{
	for (; i < t; i++)
		if (FROM_ADDR(cs->frame[i].from))
			return stack_word(FROM_ADDR(cs->frame[i].from));
	return bp;
}

/* The outermost frame, not beyond stop, that frame t still leads to. */
static size_t hold(const struct callstack *cs, size_t t, size_t stop)
{
	const struct frame *f = &cs->frame[t], *end = &cs->frame[stop];

	for (; f > end; f--) {
		uintptr_t from = f[-1].from;

		if (stack_word(f[-1].sp - 8) != f[-1].pc)
			break;
		if (unlikely(from & FROM_CHECK) &&
			(from & FROM_ODD ||
				stack_word(FROM_ADDR(from)) != f[-1].bp))
			break;
	}
	return (size_t)(f - cs->frame);
}

/* From f and from st, a walk would go the same way. */
static bool meets(const struct frame *f, const struct unwind_state *st)
{
	return f->sp == st->sp && f->pc == st->pc &&
	       (f->bp == st->bp || !(f->from & FROM_NEEDS));
}

/* Frame f, where st was met, was reached by another step than last time. */
static void meet(struct frame *f, const struct unwind_state *st)
{
	uintptr_t from = st->from | (f->from & (FROM_USES | FROM_NEEDS));

	if (from & FROM_ODD || (from & FROM_NEEDS && FROM_ADDR(from)))
		from |= FROM_CHECK;
	f->from = from;
	f->bp = st->bp;
}

static ALWAYS_INLINE enum step step(
	struct unwind_state *st, struct stackrange *range)
{
	enum step s = unwind_step(st, range);

	if (unlikely(s == STEP_ODD))
		st->from |= FROM_ODD;
	return s;
}

/*
 * Take frames t to i, which hold, as if they had just been walked. False if
 * that makes enough frames.
 */
static bool take_back(struct walk *w, size_t i, size_t t, uintptr_t bp)
{
	struct callstack *cs = w->cs;

	for (size_t k = t + 1; k-- > i;) {
		struct frame *f = &cs->tmp[w->d];

		if (w->d == w->max + SLACK)
			return false;
		w->d++;
		*f = cs->frame[k];
		if (k < t && FROM_ADDR(f->from))
			bp = stack_word(FROM_ADDR(f->from));
		f->bp = bp;
	}
	return true;
}

static bool no_code(uintptr_t pc)
{
	return pc - 1 < OS_PAGE || (pc - 1) >> 47;
}

/*
 * The walk has met frame t. Go along the copy as far as it holds, and farther
 * as long as single steps lead back to it. True: that settles the rest of the
 * stack. False: frames t to *j were put in tmp, and the walk goes on from
 * w->st, with frames outside of *j still to be met.
 */
static bool rejoin(struct walk *w, size_t t, size_t *j)
{
	struct callstack *cs = w->cs;
	size_t want = w->max > w->d ? w->max - w->d : 1;
	size_t stop = t + 1 > want ? t + 1 - want : 0, i = t;
	uintptr_t bp = w->st.bp;
	enum step s;

	meet(&cs->frame[t], &w->st);
	for (;;) {
		i = hold(cs, i, stop);
		if (i == stop && (i || cs->whole || t + 1 == want))
			break;
		w->st = (struct unwind_state){.pc = cs->frame[i].pc,
			.sp = cs->frame[i].sp,
			.bp = true_bp(cs, i, t, bp)};
		s = step(&w->st, &cs->range);
		w->end = s >= STEP_END ? s : STEP_SP;
		if (i == 0 && (s >= STEP_END || no_code(w->st.pc)))
			break; /* it ends here as it did last time */
		if (s >= STEP_END || !i || !meets(&cs->frame[i - 1], &w->st)) {
			*j = i;
			if (take_back(w, i, t, bp))
				return false;
			w->end = STEP_SP;
			return true;
		}
		meet(&cs->frame[--i], &w->st);
	}
	w->shared = t + 1;
	return true;
}

/*
 * Go on from w->st until frame *j - 1 or one outside of it is met. False if
 * the walk ends before: at the end of the stack, or at enough frames.
 */
static bool walk_new(struct walk *w, size_t *j)
{
	struct callstack *cs = w->cs;
	struct unwind_state st = w->st; /* in registers */
	const struct frame *old = &cs->frame[*j];
	struct frame *f = &cs->tmp[w->d], *limit = &cs->tmp[w->max + SLACK];
	enum step s = STEP_SP;

	for (;;) {
		while (old > cs->frame && old[-1].sp < st.sp)
			old--;
		if (old > cs->frame && meets(&old[-1], &st))
			break;
		if (f == limit) {
			old = NULL;
			break;
		}
		*f = (struct frame){
			.pc = st.pc, .sp = st.sp, .bp = st.bp, .from = st.from};
		s = step(&st, &cs->range);
		if (s == STEP_BP)
			f->from |= FROM_USES;
		f++;
		if (unlikely(s >= STEP_END)) {
			w->end = s;
			f -= s == STEP_NONE; /* the last one is no frame */
			old = NULL;
			break;
		}
	}
	w->st = st;
	w->d = (size_t)(f - cs->tmp);
	*j = old ? (size_t)(old - cs->frame) : 0;
	return old != NULL;
}

/* Fill tmp with the frames inside those that are shared. */
static void walk(struct walk *w)
{
	size_t j = w->cs->n;

	w->d = w->shared = 0;
	w->end = STEP_SP;
	while (walk_new(w, &j) && !rejoin(w, j - 1, &j) && w->end < STEP_END)
		;
}

/* Make frame[] what the walk found. */
static void update(struct walk *w)
{
	struct callstack *cs = w->cs;
	size_t n = w->shared, drop = 0;
	uintptr_t needs = 0;

	if (n + w->d > CAP) {
		drop = MIN(n, n + w->d - (w->max + SLACK));
		for (size_t i = drop; i < n; i++)
			cs->frame[i - drop] = cs->frame[i];
		n = w->shared -= drop;
	}
	if (drop || !n) {
		cs->whole = !n && w->end == STEP_END;
		cs->base = SIZE_MAX;
	}
	if (n && !FROM_ADDR(cs->frame[n - 1].from))
		needs = cs->frame[n - 1].from & FROM_NEEDS;
	while (w->d) {
		struct frame *f = &cs->frame[n++];
		uintptr_t from;

		*f = cs->tmp[--w->d];
		from = f->from & ~(FROM_NEEDS | FROM_CHECK);
		from |= from & FROM_USES ? FROM_NEEDS : needs;
		needs = FROM_ADDR(from) ? 0 : from & FROM_NEEDS;
		if (from & FROM_ODD || (from & FROM_NEEDS && !needs))
			from |= FROM_CHECK;
		f->from = from;
	}
	cs->n = n;
}

/* The id of the innermost max frames. */
static uint32_t intern(struct walk *w)
{
	struct callstack *cs = w->cs;
	size_t n = cs->n, base = n > w->max ? n - w->max : 0, at = base;
	uint32_t generation = modules_generation(), id;
	uintptr_t pc[STACK_BLOCK];

	id = stacktab_root(generation);
	if (base == cs->base && generation == cs->generation &&
		w->shared > base) {
		size_t blocks = (w->shared - base) / STACK_BLOCK;

		at += blocks * STACK_BLOCK;
		if (blocks)
			id = cs->chain[blocks - 1];
	}
	while (at < n && id) {
		size_t take = MIN(n - at, (size_t)STACK_BLOCK);

		for (size_t i = 0; i < take; i++)
			pc[i] = cs->frame[at + i].pc;
		id = stacktab_add(id, pc, take);
		cs->chain[(at - base) / STACK_BLOCK] = id;
		at += take;
	}
	cs->base = id ? base : SIZE_MAX;
	cs->generation = generation;
	return id;
}

/*
 * The walk got stuck in code without unwind tables. Ask libunwind, once for
 * each call site where it does not know better. Returns the stack's id, or 0.
 */
static COLD uint32_t ask_libunwind(struct walk *w, const struct unwind_regs *r)
{
	struct callstack *cs = w->cs;
	uintptr_t at = w->st.pc - 1;
	uint64_t rule = rule_get(at);
	size_t n;

	if (RULE_KIND(rule) != RULE_GUESS || RULE_OFFSET(rule) ||
		!cfi_known(at) || no_libunwind || sandboxed != SANDBOX_NONE)
		return 0;
	n = unwind_libunwind(
		r, cs->scratch, NELEM(cs->scratch), cs->pc, w->max);
	if (n > w->shared + w->d)
		return stacktab_intern(cs->pc, n, modules_generation());
	rule_asked(at);
	return 0;
}

static uint32_t capture(
	struct callstack *cs, const struct unwind_regs *r, size_t max)
{
	struct walk w = {.cs = cs,
		.max = max,
		.st = {.pc = r->pc, .sp = r->sp, .bp = r->bp}};
	/* relaxed: a change while we run can only concern other stacks. */
	uint32_t rules = load_relaxed(&rulecache.epoch);
	uint32_t ranges = load_relaxed(&stackrange_epoch), id;

	if (unlikely(rules != cs->rules || ranges != cs->ranges)) {
		cs->n = 0;
		cs->rules = rules;
		cs->ranges = ranges;
	}
	if (!unwind_start(r->sp, &cs->range) ||
		!unwind_skip_own(&w.st, &cs->range))
		return plain(r, max);
	walk(&w);
	if (unlikely(w.end == STEP_FULL)) {
		size_t n = unwind(r, &cs->range, cs->pc, max);

		return stacktab_intern(cs->pc, n, modules_generation());
	}
	if (unlikely(w.end == STEP_LOST)) {
		id = ask_libunwind(&w, r);
		if (id)
			return id;
	}
	if (!w.d && w.shared == cs->n && cs->base != SIZE_MAX &&
		cs->base == (cs->n > max ? cs->n - max : 0) &&
		cs->generation == modules_generation())
		return cs->id;
	update(&w);
	return cs->id = intern(&w);
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
	id = capture(cs, r, MIN(max, (size_t)STACK_MAX));
	signal_fence();
	cs->busy.sp = 0;
	return id;
}

void callstack_check(const struct callstack *cs)
{
	uintptr_t needs = 0;

	INVARIANT(cs->n <= CAP && !cs->busy.sp);
	for (size_t i = 0; i < cs->n; i++) {
		const struct frame *f = &cs->frame[i];
		uintptr_t from = f->from;

		if (i && !(f[-1].from & FROM_ODD))
			INVARIANT(f[-1].sp > f->sp); /* I1 */
		needs = from & FROM_USES ? FROM_NEEDS : needs;
		INVARIANT((from & FROM_NEEDS) == needs); /* I2 */
		needs = FROM_ADDR(from) ? 0 : needs;
		INVARIANT(!!(from & FROM_CHECK) ==
			  (from & FROM_ODD ||
				  (from & FROM_NEEDS && FROM_ADDR(from))));
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
			INVARIANT(pc[i] == cs->frame[end - 1 - i].pc);
	}
}
