/* SPDX-License-Identifier: MIT */
/*
 * unwind_rule: the unwind table, one word for each call site, as it is needed.
 *
 *	address --+-- set (11 to 16 bits) --> [ entry | entry ]
 *	          +-- tag (the rest) ----------- compared with either
 *
 * A call site is asked for millions of times and interpreted once. Two ways,
 * because with one the allocation paths of python3 thrash a few sets; the
 * newer entry is in front. The table starts with 32 KiB and doubles, up to
 * 1 MiB, when it replaces entries too often; gcc's cc1 has about 30,000 call
 * sites on its allocation paths.
 *
 * Invariants:
 *   I1  an entry says what .eh_frame says about the address that its tag and
 *       its place make up, or (older than the last flush, for as long as it
 *       takes one thread to finish rule_fill()) said before;
 *   I2  RULE_SP and RULE_BP have slot <= offset for RULE_SP, so that a slot
 *       lies between rsp and the CFA;
 *   I3  wide rules do not change once they are ready; there may be twins.
 *
 * Locks: none. Two threads may work out the same rule and write it twice.
 *
 * Rejected: a table for each thread (no sharing, and a thread that allocates
 * twice pays for every call site), chains (a pointer to follow), 16-byte
 * entries (half as many in a cache line, and two loads that may disagree).
 */
#include "profile/unwind_rule.h"
#include "base/fatal.h"
#include "os/sysmem.h"
#include "profile/modules.h"
#include "profile/stackrange.h"
#include "profile/unwind_cfi.h"
#include "profile/unwind_expr.h"
#include "profile/unwind_step.h"

enum {
	MAX_SETS = 1 << 16,
	MAX_WIDE = 512, /* shapes, not call sites: 20 are many */
};

static uint64_t none[2 * RULE_MIN_SETS]; /* .bss: never written, no memory */

struct rulecache rulecache = {.entry = none, .mask = RULE_MIN_SETS - 1};

static uint32_t replaced; /* live entries lost since the last growth */
static uint32_t growing;  /* one thread at a time */
static struct rule_wide wide[MAX_WIDE];
static uint32_t wide_taken;

const struct rule_wide *rule_wide(uint64_t rule)
{
	struct rule_wide *w = &wide[RULE_OFFSET(rule) >> 3];

	/* acquire [wide]: always true, but it orders the reads that follow. */
	INVARIANT(load_acquire(&w->ready));
	return w;
}

static bool same_shape(const struct rule_wide *a, const struct rule_wide *b)
{
	return a->base_is_bp == b->base_is_bp && a->load == b->load &&
	       a->rbp == b->rbp && a->off == b->off && a->add == b->add &&
	       a->rbp_off == b->rbp_off;
}

/* The number of a wide rule; MAX_WIDE when there is no room. */
static uint32_t wide_add(const struct rule_wide *w)
{
	uint32_t n = MIN(load_relaxed(&wide_taken), MAX_WIDE), i;

	/* acquire [wide] */
	for (i = 0; i < n; i++)
		if (load_acquire(&wide[i].ready) && same_shape(&wide[i], w))
			return i;
	if (n == MAX_WIDE)
		return n;
	i = add_relaxed(&wide_taken, 1);
	if (i >= MAX_WIDE)
		return MAX_WIDE;
	wide[i] = *w;
	/* release [wide] */
	store_release(&wide[i].ready, true);
	return i;
}

/* mov $15,%rax; syscall: a signal trampoline, whoever wrote it. */
static bool is_trampoline(uintptr_t pc)
{
	/* Asked even of modules: there are holes in them. */
	return stackrange_readable(pc & -8ul) &&
	       stackrange_readable((pc + 8) & -8ul) &&
	       stack_word(pc) == 0x0f0000000fc0c748 &&
	       stack_word(pc + 1) == 0x050f0000000fc0c7;
}

/* CFA = base + off, possibly through a load; what remains needs more. */
static bool cfa_of(const struct cfi_row *row, uintptr_t at, struct expr *e)
{
	struct expr_env env = {.pc = at};

	if (row->cfa_how == CFI_REGISTER)
		*e = (struct expr){.kind = EXPR_REG,
			.reg = row->cfa_reg,
			.add = row->cfa_arg};
	else if (!expr_eval((const void *)row->cfa_arg, &env, NULL, e) ||
		 e->kind == EXPR_NUMBER)
		return false;
	return e->reg == CFI_RSP || e->reg == CFI_RBP;
}

static bool fits(intptr_t v)
{
	return v == (int32_t)v && !(v & 7);
}

static uint64_t make_wide(
	const struct cfi_row *row, uintptr_t at, const struct expr *cfa)
{
	struct rule_wide w = {.base_is_bp = cfa->reg == CFI_RBP,
		.load = cfa->kind == EXPR_LOAD};
	struct expr_env env = {.pc = at};
	struct expr e;
	uint32_t n;

	w.off = (int32_t)(w.load ? cfa->off : cfa->add);
	w.add = (int32_t)(w.load ? cfa->add : 0);
	if (!fits(cfa->off) || !fits(cfa->add))
		return RULE_FULL;
	if (row->how[CFI_RBP] == CFI_AT_CFA) {
		w.rbp = WIDE_RBP_AT_CFA;
		w.rbp_off = (int32_t)row->arg[CFI_RBP];
	} else if (row->how[CFI_RBP] == CFI_AT_EXPR) {
		if (!expr_eval(
			    (const void *)row->arg[CFI_RBP], &env, NULL, &e) ||
			e.kind != EXPR_REG || e.reg != cfa->reg || !fits(e.add))
			return RULE_FULL;
		w.rbp = WIDE_RBP_AT_BASE;
		w.rbp_off = (int32_t)e.add;
	} else if (row->how[CFI_RBP] != CFI_SAME &&
		   row->how[CFI_RBP] != CFI_UNDEFINED) {
		return RULE_FULL;
	}
	n = wide_add(&w);
	return n < MAX_WIDE ? RULE_WIDE | n << 3 : RULE_FULL;
}

static uint64_t make_rule(const struct cfi_row *row, uintptr_t at)
{
	intptr_t slot = row->arg[CFI_RBP];
	uint8_t how = row->how[CFI_RBP];
	struct expr e;

	if (row->signal)
		return RULE_SIGNAL;
	if (row->how[CFI_RA] == CFI_UNDEFINED)
		return RULE_END;
	if (row->how[CFI_RA] != CFI_AT_CFA || row->arg[CFI_RA] != -8 ||
		row->how[CFI_RSP] != CFI_SAME || !cfa_of(row, at, &e))
		return RULE_FULL;
	if (how == CFI_SAME || how == CFI_UNDEFINED)
		slot = 0;
	else if (how != CFI_AT_CFA || slot > -8)
		return make_wide(row, at, &e);
	slot = -slot;
	if (e.kind != EXPR_REG || e.add < 8 || e.add > RULE_MAX_OFFSET ||
		slot > RULE_MAX_SLOT || (e.add | slot) & 7 ||
		(e.reg == CFI_RSP && slot > e.add))
		return make_wide(row, at, &e);
	return (e.reg == CFI_RBP ? RULE_BP : RULE_SP) | (uint64_t)e.add |
	       (uint64_t)slot << 14;
}

static uint64_t work_out(uintptr_t at)
{
	struct cfi_row row;

	if (cfi_find(at, &row))
		return make_rule(&row, at);
	return is_trampoline(at + 1) ? RULE_SIGNAL : RULE_GUESS;
}

static void clear(void)
{
	uint64_t *entry = load_relaxed(&rulecache.entry);
	/* acquire [rulecache] */
	size_t n = 2 * (load_acquire(&rulecache.mask) + 1);

	for (size_t i = 0; i < n && entry != none; i++)
		store_relaxed(&entry[i], 0);
}

/* The first half of the entries have a set of their own in the second half. */
static void spread(uint64_t *entry, uintptr_t mask)
{
	for (size_t i = 0; i < 2 * (mask + 1); i++) {
		uint64_t e = load_relaxed(&entry[i]);
		uintptr_t tag = e >> RULE_SHIFT;
		uintptr_t low = (i / 2 ^ tag) & (RULE_MIN_SETS - 1);
		size_t to = rule_set(tag << RULE_TAG_SHIFT | low, 2 * mask + 1);

		if (e && to != (i & ~1ul))
			store_relaxed(&entry[to | (i & 1)], e);
	}
}

/*
 * Make the table twice as large, or make it at all. It lies in one reservation
 * of which more and more is readable.
 */
static void grow(void)
{
	uint32_t epoch = load_relaxed(&rulecache.epoch);
	uintptr_t mask = load_relaxed(&rulecache.mask);
	size_t set = 2 * sizeof(uint64_t), old = (mask + 1) * set;
	uint64_t *entry = load_relaxed(&rulecache.entry);

	if (xchg_acquire(&growing, 1)) /* acquire [growing] */
		return;
	if (mask != load_relaxed(&rulecache.mask) ||
		entry != load_relaxed(&rulecache.entry)) {
		/* somebody else has just done it */
	} else if (entry == none) {
		entry = sysmem_reserve(MAX_SETS * set);
		if (entry && sysmem_commit(entry, old, SYS_BUCKHASH))
			/* relaxed: it reads as zero. */
			store_relaxed(&rulecache.entry, entry);
		else if (entry)
			sysmem_unreserve(entry, MAX_SETS * set);
	} else if (mask + 1 < MAX_SETS &&
		   sysmem_commit((char *)entry + old, old, SYS_BUCKHASH)) {
		spread(entry, mask);
		/* release [rulecache] */
		store_release(&rulecache.mask, 2 * mask + 1);
		/* seq_cst: a flush that did not see the new half is seen. */
		if (__atomic_fetch_or(&rulecache.epoch, 0, __ATOMIC_SEQ_CST) !=
			epoch)
			clear();
	}
	store_relaxed(&replaced, 0);
	store_release(&growing, 0); /* release [growing] */
}

static uint64_t *set_of(uintptr_t at)
{
	/* acquire [rulecache] */
	uintptr_t mask = load_acquire(&rulecache.mask);

	return load_relaxed(&rulecache.entry) + rule_set(at, mask);
}

static void remember(uintptr_t at, uint64_t rule)
{
	uint64_t e = rule | (uint64_t)(at >> RULE_TAG_SHIFT) << RULE_SHIFT;
	uint64_t *set = set_of(at);
	uint64_t front = load_relaxed(&set[0]);

	if (front >> RULE_SHIFT != e >> RULE_SHIFT) {
		if (load_relaxed(&set[1]) &&
			add_relaxed(&replaced, 1) >
				load_relaxed(&rulecache.mask) / 4)
			grow();
		store_relaxed(&set[1], front);
	}
	store_relaxed(&set[0], e);
}

uint64_t rule_fill(uintptr_t at)
{
	uint32_t epoch = load_relaxed(&rulecache.epoch);
	uint64_t rule;

	if (at < OS_PAGE || at >> 47)
		return RULE_NONE;
	if (load_relaxed(&rulecache.entry) == none)
		grow();
	if (modules_note(at)) {
		rule_flush();
		epoch = load_relaxed(&rulecache.epoch);
	}
	rule = work_out(at);
	if (load_relaxed(&rulecache.entry) == none)
		return rule;
	remember(at, rule);
	/* seq_cst: either the flush sees this entry, or this sees the flush. */
	if (__atomic_fetch_or(&rulecache.epoch, 0, __ATOMIC_SEQ_CST) != epoch)
		store_relaxed(set_of(at), 0); /* it may be of the old code */
	return rule;
}

void rule_asked(uintptr_t at)
{
	if (load_relaxed(&rulecache.entry) != none)
		remember(at, RULE_GUESS | RULE_ASKED);
}

void rule_flush(void)
{
	/* seq_cst: the epoch before the entries; see rule_fill(). */
	__atomic_fetch_add(&rulecache.epoch, 1, __ATOMIC_SEQ_CST);
	clear();
}
