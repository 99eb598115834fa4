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
 * The words read are the return addresses, at sp - 8 of the frame outside,
 * and, where a later CFA depends on it, the saved rbp. Steps that read more
 * than that (signal frames, realigned stacks, guesses) are marked ODD and
 * taken again each time.
 *
 * The ids of the blocks (stacktab.c) of the unchanged part are kept, too: so
 * only the last one or two blocks are looked up. And where every allocation is
 * recorded, the stacks of many earlier captures are kept as well (callmemo.c).
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
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "profile/callmemo.h"
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
	MORE = 2 * SLACK,  /* frames remembered beyond max */
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

/* A frame on the way to frame[]. */
struct frame {
	uintptr_t pc, sp, bp;
	uintptr_t from; /* where the step to this frame found bp, and flags */
};

struct callstack {
	/* The caller of the capture in progress; sp 0: there is none. */
	struct unwind_regs busy;
	uint32_t nested;	/* captures since busy was set, see enter() */
	uint32_t rules, ranges; /* epochs that the frames belong to */
	struct stackrange range;
	size_t n;    /* frames */
	bool whole;  /* frame 0 is the outermost one there is */
	size_t base; /* chain[] begins at this frame; SIZE_MAX: nowhere */
	uint32_t generation;
	uint32_t id; /* of frames [base, n) */
	struct callmemo *memo; /* or NULL */
	uint32_t memo_generation;
	size_t memo_max; /* what its ids are for */

	size_t depth; /* the greatest max */
	size_t cap;   /* elements of the arrays below: depth + MORE */

	/* The frames, outermost first; from as in struct frame. */
	uintptr_t *pc, *sp, *bp, *from;
	uint64_t *h; /* stacktab_mix() of the block up to here */
	uint32_t *chain;

	/* Frames with FROM_CHECK, outermost first; and some that had it. */
	uint16_t *check;
	size_t nchecks;

	struct frame *tmp; /* a walk in progress, innermost first */
	uintptr_t *other;  /* a stack by other means */
	void **scratch;	   /* for libunwind: OWN more */
};

struct walk {
	struct callstack *cs;
	struct unwind_state st;
	size_t max;
	size_t d;      /* frames in tmp */
	size_t shared; /* frames of cs that are still right */
	enum step end; /* why it ended, STEP_SP: not at an end */
};

static bool no_libunwind;

void callstack_alone(void)
{
	no_libunwind = true;
}

void callstack_postfork_child(void)
{
	no_libunwind = true;
}

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
		!cfi_known(at) || no_libunwind || sandboxed != SANDBOX_NONE)
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

static uint32_t capture(
	struct callstack *cs, const struct unwind_regs *r, size_t max)
{
	struct unwind_state st;
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
		cs->memo_max = 0;
	}
	if (!unwind_start(r->sp, &cs->range) ||
		!unwind_skip_own(&w.st, &cs->range))
		return plain(r, max);
	st = w.st;
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
		keep(cs, &st, max, cs->id);
	return cs->id;
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
