/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_EXTENT_H
#define GOSTAT_TESTS_EXTENT_H

/*
 * What lies where, for models of the heap: arrays whose elements, of any type,
 * begin with two uintptr_t, the first address of something and the one behind.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static inline int extent_order(const void *a, const void *b)
{
	const uintptr_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The element that p lies in, of n in order; NULL: none. */
static inline void *extent_find(void *v, size_t n, size_t size, uintptr_t p)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		uintptr_t *e = (uintptr_t *)((char *)v + mid * size);

		if (p < e[0])
			hi = mid;
		else if (p >= e[1])
			lo = mid + 1;
		else
			return e;
	}
	return NULL;
}

#endif
