/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_CALLMAZE_H
#define GOSTAT_TESTS_CALLMAZE_H

/*
 * 64 functions that call each other along a given path, in frames of eight
 * shapes: bare, with callee-saved registers, with arrays on the stack, with
 * alloca, realigned. path[0..depth) names them, outermost first; the innermost
 * one calls leaf(). Each has 16 call sites.
 */

#include <alloca.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct maze {
	const uint8_t *path;
	size_t depth, at;
	void (*leaf)(struct maze *m);
	void *arg;
	uint64_t sum; /* keeps the compiler from dropping anything */
};

typedef uint64_t maze_fn(struct maze *m, uint64_t a, uint64_t b, uint64_t c);

static maze_fn *const maze_table[64];

/* Called behind the call, so that no call is a tail call. */
static inline uint64_t maze_mix(uint64_t a, uint64_t b)
{
	return (a ^ b) * 0x9e3779b97f4a7c15;
}

static inline uint64_t maze_next(
	struct maze *m, uint64_t a, uint64_t b, uint64_t c)
{
	if (m->at == m->depth) {
		m->leaf(m);
		return a + b + c;
	}
	return maze_table[m->path[m->at++] % 64](m, a, b, c);
}

#define MAZE_SITE(n)                                                           \
	case n:                                                                \
		a += maze_next(m, b + n, c, a);                                \
		break;

/* The call sites, then what is done with the result. */
#define MAZE_BODY                                                              \
	switch ((a ^ m->at) & 3) {                                             \
		MAZE_SITE(0)                                                   \
		MAZE_SITE(1)                                                   \
		MAZE_SITE(2)                                                   \
		MAZE_SITE(3)                                                   \
	}                                                                      \
	m->at--;                                                               \
	return maze_mix(a, b) + c

#define MAZE_FN(name, attr, before)                                            \
	__attribute__((noinline, noclone, attr)) static uint64_t name(         \
		struct maze *m, uint64_t a, uint64_t b, uint64_t c)            \
	{                                                                      \
		before;                                                        \
		MAZE_BODY;                                                     \
	}

static void maze_touch(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

#define MAZE_ARRAY(n)                                                          \
	uint64_t array[n];                                                     \
	maze_touch(array)
#define MAZE_ALLOCA                                                            \
	char *p = alloca((a & 15) * 16 + 8);                                   \
	maze_touch(p)
#define MAZE_ALIGNED(n)                                                        \
	_Alignas(n) char array[n];                                             \
	maze_touch(array)

/* Realigned and with a stack of unknown size: the CFA has to be saved. */
#define MAZE_ALIGNED_ALLOCA                                                    \
	_Alignas(64) char array[64];                                           \
	char *p = alloca((b & 7) * 32 + 8);                                    \
	maze_touch(array);                                                     \
	maze_touch(p)

/* Uses rbp for data, where the compiler may. */
#define MAZE_REGISTERS                                                         \
	uint64_t x = a * 3, y = b * 5, z = c * 7, u = a ^ b;                   \
	__asm__ volatile("" : "+r"(x), "+r"(y), "+r"(z), "+r"(u));             \
	a += m->sum & 1;                                                       \
	m->sum += x ^ y ^ z ^ u

#define MAZE_EIGHT(n)                                                          \
	MAZE_FN(maze_a##n, unused, (void)0)                                    \
	MAZE_FN(maze_b##n, unused, MAZE_REGISTERS)                             \
	MAZE_FN(maze_c##n, unused, MAZE_ARRAY(1 + 5 * n))                      \
	MAZE_FN(maze_d##n, unused, MAZE_ALLOCA)                                \
	MAZE_FN(maze_e##n, unused, MAZE_ALIGNED(32))                           \
	MAZE_FN(maze_f##n, force_align_arg_pointer, MAZE_ARRAY(3 + n))         \
	MAZE_FN(maze_g##n, unused, MAZE_ALIGNED_ALLOCA)                        \
	MAZE_FN(maze_h##n, unused, MAZE_ARRAY(900 * (n == 7) + 20 + n))

MAZE_EIGHT(0)
MAZE_EIGHT(1)
MAZE_EIGHT(2)
MAZE_EIGHT(3)
MAZE_EIGHT(4)
MAZE_EIGHT(5)
MAZE_EIGHT(6)
MAZE_EIGHT(7)

#define MAZE_NAMES(n)                                                          \
	maze_a##n, maze_b##n, maze_c##n, maze_d##n, maze_e##n, maze_f##n,      \
		maze_g##n, maze_h##n

static maze_fn *const maze_table[64] = {MAZE_NAMES(0), MAZE_NAMES(1),
	MAZE_NAMES(2), MAZE_NAMES(3), MAZE_NAMES(4), MAZE_NAMES(5),
	MAZE_NAMES(6), MAZE_NAMES(7)};

/* Walk the path and call leaf at its end. */
static inline void maze_run(struct maze *m)
{
	m->at = 0;
	m->sum += maze_next(m, 1, 2, 3);
}

#endif
