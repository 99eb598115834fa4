/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_UNWIND_RULE_H
#define GOSTAT_PROFILE_UNWIND_RULE_H

#include "base/atomics.h"
#include "base/attrs.h"

/*
 * How to step out of the frame of one call site, in 28 bits:
 *
 *	63          28 27        17 16         3 2    0
 *	[ tag (cache) ][ rbp slot  ][ CFA offset ][ kind ]
 *
 * The two fields are in words of 8 bytes. RULE_SP: CFA = rsp + offset;
 * RULE_BP: CFA = rbp + offset. The return address is at CFA - 8, the caller's
 * rbp at CFA - slot, or unchanged when slot is 0. These two make up more than
 * 99.9 % of frames.
 */
enum rule_kind {
	RULE_NONE, /* not an address of code: the frame does not exist */
	RULE_SP,
	RULE_BP,
	RULE_WIDE,   /* what does not fit; rule_wide() has it */
	RULE_SIGNAL, /* the kernel's signal frame lies at rsp */
	RULE_END,    /* outermost frame */
	RULE_GUESS,  /* nothing known: try rbp as a frame pointer */
	RULE_FULL    /* needs more registers than rsp and rbp */
};

#define RULE_KIND(rule) ((enum rule_kind)((rule)&7))
#define RULE_OFFSET(rule) ((rule)&0x1fff8)
#define RULE_SLOT(rule) ((rule) >> 14 & 0x3ff8)
#define RULE_MAX_OFFSET 0x1fff8
#define RULE_MAX_SLOT 0x3ff8

/* RULE_GUESS, where libunwind was asked and did not know better. */
#define RULE_ASKED 8

/*
 * A rule that needs a load or large offsets. base is rsp or rbp:
 *	CFA = base + off, or *(base + off) + add when load is set
 *	rbp: unchanged, at CFA + rbp_off, or at base + rbp_off
 */
enum wide_rbp { WIDE_RBP_SAME, WIDE_RBP_AT_CFA, WIDE_RBP_AT_BASE };

struct rule_wide {
	bool ready; /* atomic; the rest does not change any more */
	bool base_is_bp, load;
	uint8_t rbp; /* enum wide_rbp */
	int32_t off, add, rbp_off;
};

/* What a RULE_WIDE stands for. */
const struct rule_wide *rule_wide(uint64_t rule);

/*
 * The cache. An entry is one aligned word, so readers need no lock and see
 * all of it or another one. Two neighbours make a set.
 */
struct rulecache {
	uint64_t *entry;
	uintptr_t mask; /* sets - 1, at least RULE_MIN_SETS - 1 */
	uint32_t epoch; /* changes with every flush */
};

extern HIDDEN struct rulecache rulecache;

/* The tag leaves out the bits that the number of the set implies. */
enum { RULE_TAG_SHIFT = 11, RULE_SHIFT = 28, RULE_MIN_SETS = 1 << 11 };

static ALWAYS_INLINE uintptr_t rule_set(uintptr_t at, uintptr_t mask)
{
	return ((at ^ at >> RULE_TAG_SHIFT) & mask) * 2;
}

/*
 * Work out the rule of the instruction that contains at, and put it in the
 * cache. Context: as cfi_find(); allocates the cache at first use.
 */
COLD uint64_t rule_fill(uintptr_t at);

/* The rule of that instruction; the bits above RULE_SHIFT are rubbish. */
static ALWAYS_INLINE uint64_t rule_get(uintptr_t at)
{
	/*
	 * acquire [rulecache]: the memory before the larger mask.
	 * relaxed: an entry carries all it says.
	 */
	uintptr_t mask = load_acquire(&rulecache.mask);
	uint64_t *set = load_relaxed(&rulecache.entry) + rule_set(at, mask);
	uintptr_t tag = at >> RULE_TAG_SHIFT;
	uint64_t e = load_relaxed(&set[0]);

	if (likely(e >> RULE_SHIFT == tag))
		return e;
	e = load_relaxed(&set[1]);
	if (likely(e >> RULE_SHIFT == tag))
		return e;
	return rule_fill(at);
}

/* Note that libunwind has nothing to add for a RULE_GUESS. */
void rule_asked(uintptr_t at);

/*
 * Forget everything: code was unmapped. Threads that have a rule in hand may
 * use it once more. Context: anywhere.
 */
void rule_flush(void);

#endif
