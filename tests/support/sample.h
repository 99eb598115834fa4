/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_SAMPLE_H
#define GOSTAT_TESTS_SAMPLE_H

/*
 * A MemStats full of numbers, the same ones that golden/mkmemstats.go makes.
 * Fields are reached by their place in the struct, not through the table that
 * is under test.
 */

#include "gostat.h"

static uint64_t sample_state;

static inline uint64_t sample_next(void)
{
	sample_state ^= sample_state << 13;
	sample_state ^= sample_state >> 7;
	sample_state ^= sample_state << 17;
	return sample_state >> (sample_state % 64);
}

static inline void sample_fill(struct gostat_memstats *m)
{
	sample_state = 1;
	for (uint64_t *p = (uint64_t *)m; p < (uint64_t *)&m->NumGC; p++)
		*p = sample_next();
	m->NumGC = (uint32_t)sample_next();
	m->NumForcedGC = (uint32_t)sample_next();
	m->GCCPUFraction = (double)(sample_next() >> 12) / 0x1p60;
	m->EnableGC = sample_next() & 1;
	m->DebugGC = sample_next() & 1;
	for (int i = 0; i < 61; i++) {
		m->BySize[i].Size = (uint32_t)sample_next();
		m->BySize[i].Mallocs = sample_next();
		m->BySize[i].Frees = sample_next();
	}
}

#endif
