/* SPDX-License-Identifier: MIT */
/*
 * callstack_walk: from the frames of last time to those of now.
 *
 * The walk steps outwards, frame by frame, into tmp[]; at each frame it looks
 * whether it has met the copy. From there on it goes along the copy instead,
 * and compares. Where a frame does not hold, single steps go on from it and
 * mostly lead back at once:
 *
 *	walk_new ──met──> join ──holds as far as is needed──> shared, done
 *	   ^                └──a frame differs──> rejoin ──> shared, done
 *	   └──────────────── take_back <──not back at once──┘
 *
 * Then what was walked is put on top of what is shared, and the blocks that
 * changed are looked up.
 *
 * A frame holds if the words that the step to it read are what they were: the
 * return address, at sp - 8, and the saved rbp if a CFA farther out was
 * computed from it. That is NEEDS, spread outwards from USES by set_flags().
 * Most code has no frame pointers, so check[], the frames of which more than
 * the return address is compared, is mostly empty. Steps that read other words
 * (signal frames, realigned stacks, guesses) are ODD and taken again.
 *
 * The invariants are those of callstack.c.
 *
 * Locks: none. Everything that every capture goes through is inlined into
 * callstack_walk(); what is rare is COLD and called.
 */
#include "base/atomics.h"
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "profile/callstack_parts.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_step.h"

struct walk {
	struct callstack *cs;
	struct unwind_state st;
	size_t max;
	size_t d;      /* frames in tmp */
	size_t shared; /* frames of cs that are still right */
	enum step end; /* why it ended, STEP_SP: not at an end */
};

void callstack_postfork_child(void)
{
	unwind_forget_libunwind();
}

/*
 * Frame i of those that hold, met in frame t with rbp bp: the rbp there.
 * Frames that nobody needs it of have not been compared.
 */
static uintptr_t true_bp(
	const struct callstack *cs, size_t i, size_t t, uintptr_t bp)
{
	for (; i < t; i++)
		if (FROM_ADDR(cs->from[i]))
			return stack_word(FROM_ADDR(cs->from[i]));
	return bp;
}

/* The step to frame i does not give what it gave, or may not. */
static bool step_differs(const struct callstack *cs, size_t i)
{
	uintptr_t from = cs->from[i];

	if (!(from & FROM_CHECK))
		return false;
	return from & FROM_ODD || stack_word(FROM_ADDR(from)) != cs->bp[i];
}

/*
 * The outermost frame, not beyond stop, that frame t still leads to. *check:
 * so many of check[] are still to be looked at.
 */
static ALWAYS_INLINE size_t hold(
	const struct callstack *cs, size_t t, size_t stop, size_t *check)
{
	const uintptr_t *pc = &cs->pc[stop], *sp = &cs->sp[stop];
	size_t left = t - stop, k = *check;

	while (left && stack_word(sp[left - 1] - 8) == pc[left - 1])
		left--;
	stop += left;
	while (k && cs->check[k - 1] >= t)
		k--;
	for (; k && cs->check[k - 1] >= stop; k--)
		if (step_differs(cs, cs->check[k - 1])) {
			stop = cs->check[k - 1] + 1;
			break;
		}
	*check = k;
	return stop;
}

/* From frame i and from st, a walk would go the same way. */
static ALWAYS_INLINE bool meets(
	const struct callstack *cs, size_t i, const struct unwind_state *st)
{
	return cs->sp[i] == st->sp && cs->pc[i] == st->pc &&
	       (cs->bp[i] == st->bp || !(cs->from[i] & FROM_NEEDS));
}

/*
 * Frame i, where st was met, was reached by another step than last time. True
 * if it belongs in check[] for that.
 */
static ALWAYS_INLINE bool meet(
	struct callstack *cs, size_t i, const struct unwind_state *st)
{
	uintptr_t old = cs->from[i];
	uintptr_t from = st->from | (old & (FROM_USES | FROM_NEEDS));

	if (from & FROM_ODD || (from & FROM_NEEDS && FROM_ADDR(from)))
		from |= FROM_CHECK;
	cs->from[i] = from;
	cs->bp[i] = st->bp;
	return from & ~old & FROM_CHECK;
}

static ALWAYS_INLINE enum step step(
	struct unwind_state *st, struct stackrange *range)
{
	enum step s = unwind_step(st, range);

	if (unlikely(s == STEP_ODD))
		st->from |= FROM_ODD;
	return s;
}

/* Bring check[] up to date for frames from first on. */
static COLD void note_checks(struct callstack *cs, size_t first, size_t n)
{
	while (cs->nchecks && cs->check[cs->nchecks - 1] >= first)
		cs->nchecks--;
	for (size_t i = first; i < n; i++)
		if (cs->from[i] & FROM_CHECK)
			cs->check[cs->nchecks++] = (uint16_t)i;
}

/*
 * Take frames t to i, which hold, as if they had just been walked. False if
 * that makes enough frames.
 */
static bool take_back(struct walk *w, size_t i, size_t t, uintptr_t bp)
{
	struct callstack *cs = w->cs;

	for (size_t k = t + 1; k-- > i;) {
		if (w->d == w->max + SLACK)
			return false;
		if (k < t && FROM_ADDR(cs->from[k]))
			bp = stack_word(FROM_ADDR(cs->from[k]));
		cs->tmp[w->d++] = (struct frame){.pc = cs->pc[k],
			.sp = cs->sp[k],
			.bp = bp,
			.from = cs->from[k]};
	}
	return true;
}

static bool no_code(uintptr_t pc)
{
	return pc - 1 < OS_PAGE || (pc - 1) >> 47;
}

/*
 * The walk has met frame t, and frames t to i hold, but that does not settle
 * it: frame i - 1 does not, or more frames are needed than there are. Go on,
 * as long as single steps lead back to frames that are there. True: that
 * settles the rest of the stack. False: frames t to *j were put in tmp, and
 * the walk goes on from w->st, with frames outside of *j still to be met.
 */
static COLD bool rejoin(
	struct walk *w, size_t i, size_t t, size_t stop, bool more, size_t *j)
{
	struct callstack *cs = w->cs;
	size_t check = cs->nchecks;
	uintptr_t bp = w->st.bp;
	bool checks = false;
	enum step s;

	while (i > stop || (more && !cs->whole)) {
		w->st = (struct unwind_state){.pc = cs->pc[i],
			.sp = cs->sp[i],
			.bp = true_bp(cs, i, t, bp)};
		s = step(&w->st, &cs->range);
		w->end = s >= STEP_END ? s : STEP_SP;
		if (!i && (s >= STEP_END || no_code(w->st.pc)))
			break; /* it ends here as it did last time */
		if (s >= STEP_END || !i || !meets(cs, i - 1, &w->st)) {
			*j = i;
			if (take_back(w, i, t, bp))
				return false;
			w->end = STEP_SP;
			return true;
		}
		if (meet(cs, --i, &w->st))
			checks = true;
		i = hold(cs, i, stop, &check);
	}
	if (checks)
		note_checks(cs, i, cs->n);
	w->shared = t + 1;
	return true;
}

/*
 * The walk has met frame t: w->st is there. Go along the copy as far as is
 * needed and as it holds. Returns as rejoin().
 */
static ALWAYS_INLINE bool join(struct walk *w, size_t t, size_t *j)
{
	struct callstack *cs = w->cs;
	size_t want = w->max > w->d ? w->max - w->d : 1;
	size_t stop = t + 1 > want ? t + 1 - want : 0, i;
	size_t check = cs->nchecks;
	bool more = t + 1 < want;

	meet(cs, t, &w->st);
	i = hold(cs, t, stop, &check);
	if (unlikely(i > stop || (more && !cs->whole)))
		return rejoin(w, i, t, stop, more, j);
	w->shared = t + 1;
	return true;
}

/*
 * Go on from w->st until frame *j - 1 or one outside of it is met. False if
 * the walk ends before: at the end of the stack, or at enough frames.
 */
static ALWAYS_INLINE bool walk_new(struct walk *w, size_t *j)
{
	struct callstack *cs = w->cs;
	struct unwind_state st = w->st; /* in registers */
	struct frame *f = &cs->tmp[w->d], *limit = &cs->tmp[w->max + SLACK];
	size_t old = *j;
	bool met = false;
	enum step s;

	for (;;) {
		while (old && cs->sp[old - 1] < st.sp)
			old--;
		met = old && meets(cs, old - 1, &st);
		if (met || f == limit)
			break;
		f->pc = st.pc;
		f->sp = st.sp;
		f->bp = st.bp;
		f->from = st.from;
		s = step(&st, &cs->range);
		if (s == STEP_BP)
			f->from |= FROM_USES;
		f++;
		if (unlikely(s >= STEP_END)) {
			w->end = s;
			f -= s == STEP_NONE; /* the last one is no frame */
			break;
		}
	}
	w->st = st;
	w->d = (size_t)(f - cs->tmp);
	*j = old;
	return met;
}

/* Fill tmp with the frames inside those that are shared. */
static void walk(struct walk *w)
{
	size_t j = w->cs->n;

	while (walk_new(w, &j) && !join(w, j - 1, &j) && w->end < STEP_END)
		;
}

/* Make room for more frames: forget the outermost ones. */
static COLD void drop_outer(struct walk *w)
{
	struct callstack *cs = w->cs;
	size_t n = w->shared, drop = MIN(n, n + w->d - (w->max + SLACK));

	for (size_t i = drop; i < n; i++) {
		cs->pc[i - drop] = cs->pc[i];
		cs->sp[i - drop] = cs->sp[i];
		cs->bp[i - drop] = cs->bp[i];
		cs->from[i - drop] = cs->from[i];
	}
	w->shared -= drop;
	note_checks(cs, 0, w->shared);
	cs->whole = false;
	cs->base = SIZE_MAX;
}

/* The flags of the frames that were pushed on the first n. */
static COLD void set_flags(struct callstack *cs, size_t n)
{
	uintptr_t needs = 0;

	if (n && !FROM_ADDR(cs->from[n - 1]))
		needs = cs->from[n - 1] & FROM_NEEDS;
	for (size_t i = n; i < cs->n; i++) {
		uintptr_t from = cs->from[i] & ~(FROM_NEEDS | FROM_CHECK);

		from |= from & FROM_USES ? FROM_NEEDS : needs;
		needs = FROM_ADDR(from) ? 0 : from & FROM_NEEDS;
		if (from & FROM_ODD || (from & FROM_NEEDS && !needs))
			from |= FROM_CHECK;
		cs->from[i] = from;
	}
	note_checks(cs, n ? n - 1 : 0, cs->n);
}

/* Put what the walk found on top of the shared frames. */
static ALWAYS_INLINE void update(struct walk *w)
{
	struct callstack *cs = w->cs;
	const struct frame *f = &cs->tmp[w->d];
	uintptr_t flags = 0;
	size_t n;

	if (unlikely(w->shared + w->d > w->cs->cap))
		drop_outer(w);
	n = w->shared;
	if (n)
		flags = cs->from[n - 1];
	else
		cs->whole = w->end == STEP_END;
	while (f > cs->tmp) {
		f--;
		cs->pc[n] = f->pc;
		cs->sp[n] = f->sp;
		cs->bp[n] = f->bp;
		cs->from[n++] = f->from;
		flags |= f->from;
	}
	cs->n = n;
	/*
	 * In code without frame pointers there are none. What check[] then has
	 * from n on is out of date, but in order.
	 */
	if (flags & ~FROM_ADDR(flags))
		set_flags(cs, w->shared);
}

/* The id of the innermost max frames. */
static ALWAYS_INLINE uint32_t intern(struct walk *w)
{
	struct callstack *cs = w->cs;
	size_t n = cs->n, base = n > w->max ? n - w->max : 0, at = base;
	uint32_t generation = modules_generation();
	uint32_t id = stacktab_root(generation), *chain = cs->chain;
	size_t hashed = 0; /* frames whose h is right */

	if (likely(base == cs->base && generation == cs->generation &&
		    w->shared > base)) {
		size_t blocks = (w->shared - base) / STACK_BLOCK;

		hashed = w->shared;
		at += blocks * STACK_BLOCK;
		chain += blocks;
		if (blocks)
			id = chain[-1];
	}
	while (at < n && id) {
		size_t end = MIN(n, at + STACK_BLOCK), i = MAX(at, hashed);
		uint64_t h = i > at ? cs->h[i - 1] : id;

		for (; i < end; i++)
			cs->h[i] = h = stacktab_mix(h, cs->pc[i]);
		id = *chain++ = stacktab_add(id, h, &cs->pc[at], end - at);
		at = end;
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
		!cfi_known(at) || !unwind_has_libunwind() ||
		sandboxed != SANDBOX_NONE)
		return 0;
	n = unwind_libunwind(
		r, cs->scratch, cs->cap + OWN, cs->other, w->max);
	if (n > w->shared + w->d)
		return stacktab_intern(cs->other, n, modules_generation());
	rule_asked(at);
	return 0;
}

/* Keep the stack that was just found from st on, if that can be done. */
static void keep(struct callstack *cs, const struct unwind_state *st,
	size_t max, uint32_t id)
{
	size_t n = cs->n, base = n > max ? n - max : 0;
	struct memo_entry *e;

	/* By other ends the walk has read more than there are frames. */
	if (!n || !id || (!cs->whole && n - base < max))
		return;
	e = memo_begin(cs->memo, 2 * (n - base));
	if (!e)
		return;
	e->pc = st->pc;
	e->sp = st->sp;
	e->bp = st->bp;
	e->any_bp = !(cs->from[n - 1] & FROM_NEEDS);
	e->id = id;
	for (size_t i = n - 1; i-- > base;) {
		uintptr_t from = cs->from[i];

		if (from & FROM_ODD || !memo_word(e, cs->sp[i] - 8, cs->pc[i]))
			return;
		if (from & FROM_CHECK &&
			!memo_word(e, FROM_ADDR(from), cs->bp[i]))
			return;
	}
	memo_done(cs->memo, e);
}

uint32_t callstack_walk(struct callstack *cs, const struct unwind_state *st,
	const struct unwind_regs *r, size_t max)
{
	struct walk w = {.cs = cs, .max = max, .st = *st};
	uint32_t id;

	walk(&w);
	if (unlikely(w.end == STEP_FULL)) {
		size_t n = unwind(r, &cs->range, cs->other, max);

		return stacktab_intern(cs->other, n, modules_generation());
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
	cs->id = intern(&w);
	if (cs->memo && cs->generation == cs->memo_generation)
		keep(cs, st, max, cs->id);
	return cs->id;
}
