/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_TICK_H
#define GOSTAT_ALLOC_TICK_H

#include "alloc/mcache.h"

/*
 * Count one malloc of record r, unless the hit path has done so (it then left
 * a negative countdown). If the profile wants to know this one: its shift (the
 * sample stands for 1 << shift of its kind); else -1.
 */
int tick_count(struct mcache *mc, unsigned r);

/* The malloc that was counted failed. */
void tick_uncount(struct mcache *mc, unsigned r);

/* The child of fork: an mcache whose owner may have been inside a tick. */
void tick_settle(struct mcache *mc);

/* The same for an object of so many bytes, which no record counts. */
int tick_huge(struct mcache *mc, size_t bytes);

/*
 * mc->ignoring was changed: while it is not 0, every malloc of its thread is
 * one that the profile wants to know.
 */
void tick_ignoring(struct mcache *mc);

/* Much has become idle: this thread's next mallocs should notice soon. */
void tick_hurry(struct mcache *mc);

/*
 * Mean bytes between heap-profile samples (MemProfileRate): 0 none, 1 every
 * allocation. Each class notices within TICK mallocs. Returns the old rate.
 */
uint64_t tick_set_sample_rate(uint64_t bytes);
uint64_t tick_sample_rate(void);

#endif
