/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_SAMPLER_H
#define GOSTAT_ALLOC_SAMPLER_H

#include "alloc/mcache.h"
#include "profile/unwind.h"

/* The hooks of objinfo.h: from samples to buckets of the heap profile. */
uint32_t sampler_alloc(struct mcache *mc, const struct unwind_regs *r,
	size_t slot, unsigned shift);
void sampler_free(uint32_t stack, size_t slot, unsigned shift);

/*
 * Take the options into account: the sample rate; every object and a byte of
 * slack under leakcheck. Before the first allocation if possible.
 */
void sampler_start(void);

/* The calling thread goes: what was remembered of its stack does, too. */
void sampler_forget(struct mcache *mc);

/* Objects sampled so far. */
uint64_t sampler_count(void);

#endif
