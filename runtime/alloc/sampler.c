/* SPDX-License-Identifier: MIT */
/*
 * sampler: from samples to buckets of the heap profile.
 *
 *	tick.c: this malloc is a sample --> objinfo.c: an object that is found
 *	again --> here: whose stack is it? --> profile/: stack, bucket
 *
 * A bucket is one (stack, slot size), as in Go, since the chance of being
 * sampled, by which readers divide, depends on the size.
 *
 * Unwinding may allocate nothing and take no lock of the allocator, and it may
 * be slow once in a while; so it happens outside of all locks, in the thread
 * that allocates.
 */
#include "alloc/sampler.h"
#include "alloc/objinfo.h"
#include "alloc/tick.h"
#include "base/atomics.h"
#include "base/options.h"
#include "profile/bucket.h"
#include "profile/callstack.h"
#include "profile/stacktab.h"

static uint64_t samples;

/* Under leakcheck stacks are kept with the objects; nobody asks for counts. */
static bool leaks_only;

/* Of threads that ended, for the next ones: mapping a new one takes 20 us. */
static struct callstack *spare[4];

/* Frames kept: as the option says, but of a leak as many as can be. */
static size_t depth = 64;

static COLD struct callstack *remember(void)
{
	for (size_t i = 0; i < NELEM(spare); i++) {
		/* acquire [spare-callstack]: what its last owner wrote. */
		struct callstack *cs = xchg_acquire(&spare[i], NULL);

		if (cs) {
			callstack_reset(cs);
			return cs;
		}
	}
	return callstack_new(depth, mheap.record_objects);
}

uint32_t sampler_alloc(struct mcache *mc, const struct unwind_regs *r,
	size_t slot, unsigned shift)
{
	struct bucket *b;
	uint32_t stack;

	if (unlikely(mc->ignoring))
		return OBJINFO_IGNORED;
	if (!mc->callstack)
		mc->callstack = remember();
	stack = callstack_capture(mc->callstack, r, depth);
	if (leaks_only)
		return stack;
	b = bucket_get(stack, slot);
	if (!b)
		return 0;
	bucket_allocated(b, (uint64_t)1 << shift, (uint64_t)slot << shift);
	add_relaxed(&samples, 1);
	return stack;
}

void sampler_free(uint32_t stack, size_t slot, unsigned shift)
{
	struct bucket *b = leaks_only || stack == OBJINFO_IGNORED
		? NULL
		: bucket_get(stack, slot);

	if (b)
		bucket_freed(b, (uint64_t)1 << shift, (uint64_t)slot << shift);
}

void sampler_start(void)
{
	bool leakcheck = options->leakcheck == LEAKCHECK_EXIT;
	uint64_t rate = leakcheck ? 1 : options->profile_rate;

	if (leakcheck || options->gc == GC_RECLAIM)
		mcache_set_slack(1);
	leaks_only = objinfo_for_leaks = leakcheck;
	depth = leakcheck ? (size_t)STACK_MAX : options->stack_depth;
	if (rate == 1)
		objinfo_record_all();
	tick_set_sample_rate(rate);
}

void sampler_forget(struct mcache *mc)
{
	struct callstack *cs = mc->callstack;

	mc->callstack = NULL;
	for (size_t i = 0; i < NELEM(spare); i++) {
		struct callstack *none = NULL;

		/* release [spare-callstack]: for its next owner. */
		if (cas_release(&spare[i], &none, cs))
			return;
	}
	callstack_free(cs);
}

uint64_t sampler_count(void)
{
	return load_relaxed(&samples);
}
