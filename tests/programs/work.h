/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_PROGRAMS_WORK_H
#define GOSTAT_TESTS_PROGRAMS_WORK_H

/*
 * A fixed piece of heap work whose result is known: allocates, fills, resizes
 * and frees blocks of many sizes and checks that each still holds what was
 * written. Returns a sum that depends on seed and n only, 0 if a block was
 * damaged or refused.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORK_SLOTS = 257, WORK_SMALL = 700, WORK_LARGE = 60000 };

struct work_block {
	unsigned char *p;
	size_t size;
	unsigned char fill;
};

static inline uint32_t work_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static inline int work_intact(const struct work_block *b)
{
	for (size_t i = 0; i < b->size; i++)
		if (b->p[i] != b->fill)
			return 0;
	return 1;
}

static inline uint64_t work(uint32_t seed, int n)
{
	static const size_t limit[2] = {WORK_SMALL, WORK_LARGE};
	struct work_block slot[WORK_SLOTS] = {{0}};
	uint64_t sum = 1 + seed;
	int ok = 1;

	for (int i = 0; i < n && ok; i++) {
		struct work_block *b = &slot[work_random(&seed) % WORK_SLOTS];
		size_t size = 1 + work_random(&seed) %
				      limit[work_random(&seed) % 64 == 0];
		unsigned char *p;

		ok = work_intact(b);
		if (work_random(&seed) % 4 == 0 && b->p) {
			p = realloc(b->p, size);
			for (size_t k = 0; p && k < size && k < b->size; k++)
				ok &= p[k] == b->fill;
		} else {
			free(b->p);
			p = work_random(&seed) % 2 ? malloc(size)
						   : calloc(1, size);
		}
		ok &= p != NULL;
		if (!ok)
			break;
		*b = (struct work_block){p, size, (unsigned char)i};
		memset(p, b->fill, size);
		sum = sum * 31 + size;
	}
	for (int i = 0; i < WORK_SLOTS; i++) {
		ok &= work_intact(&slot[i]);
		free(slot[i].p);
	}
	return ok ? sum : 0;
}

#endif
