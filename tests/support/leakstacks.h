/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_LEAKSTACKS_H
#define GOSTAT_TESTS_LEAKSTACKS_H

/* Every allocation is recorded, with a stack that the test makes up. */

#include "alloc/objinfo.h"
#include "alloc/tick.h"

static uint32_t next_stack;

static inline uint32_t give_stack(struct mcache *mc UNUSED,
	const struct unwind_regs *r UNUSED, size_t slot UNUSED,
	unsigned shift UNUSED)
{
	return next_stack;
}

static inline void take_stack(
	uint32_t stack UNUSED, size_t slot UNUSED, unsigned shift UNUSED)
{
}

static inline void record_stacks(void)
{
	objinfo_hooks.alloc = give_stack;
	objinfo_hooks.free = take_stack;
	objinfo_record_all();
	tick_set_sample_rate(1);
}

#endif
