// SPDX-License-Identifier: MIT
/*
 * vectors ROUNDS: arrays that grow by doubling, through realloc.
 *
 * Sixteen vectors of 64-bit numbers grow side by side from 16 bytes to 1 MiB,
 * so a block's neighbour is often taken and growing in place is luck or skill.
 * Every number is read back before its vector goes.
 */
#include "bench.h"

enum { VECTORS = 16, FIRST = 2, LAST = 1 << 17, STEP = 61 };

struct vector {
	uint64_t *at;
	size_t len, cap;
};

static void push(struct vector *v, uint64_t x)
{
	if (v->len == v->cap) {
		v->cap = v->cap ? 2 * v->cap : FIRST;
		v->at = bench_must(realloc(v->at, v->cap * sizeof(*v->at)));
	}
	v->at[v->len++] = x;
}

/* Grow each vector in turn by a few numbers until all are full. */
static void grow(struct vector *v)
{
	size_t full = 0;

	while (full < VECTORS) {
		full = 0;
		for (size_t k = 0; k < VECTORS; k++) {
			for (int i = 0; i < STEP && v[k].len < LAST; i++)
				push(&v[k], v[k].len * (k + 1));
			full += v[k].len == LAST;
		}
	}
}

static uint64_t verify(const struct vector *v, uint64_t h)
{
	for (size_t k = 0; k < VECTORS; k++) {
		for (size_t i = 0; i < v[k].len; i++) {
			if (v[k].at[i] != i * (k + 1))
				bench_fail("realloc lost data");
		}
		h = bench_mix(h, v[k].len);
	}
	return h;
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	uint64_t h = 0;

	for (size_t r = 0; r < rounds; r++) {
		struct vector v[VECTORS] = { 0 };

		grow(v);
		h = verify(v, h);
		for (size_t k = 0; k < VECTORS; k++)
			free(v[k].at);
	}
	bench_check(h);
	return 0;
}
