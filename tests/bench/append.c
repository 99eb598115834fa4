// SPDX-License-Identifier: MIT
/*
 * append ROUNDS: strings that grow by exactly what is appended.
 *
 * Eight strings take turns to grow by 1 to 48 bytes up to 32 KiB, each time
 * with a realloc to the exact length, as code does that keeps no capacity.
 * An allocator that rounds up well answers most of these calls in place.
 */
#include "bench.h"

enum { STRINGS = 8, LAST = 32768, PIECE = 48 };

struct string {
	char *at;
	size_t len;
};

static void append(struct string *s, const char *piece, size_t n)
{
	s->at = bench_must(realloc(s->at, s->len + n + 1));
	memcpy(s->at + s->len, piece, n);
	s->len += n;
	s->at[s->len] = '\0';
}

static uint64_t sum(const struct string *s)
{
	uint64_t h = s->len;

	for (size_t i = 0; i < s->len; i += 7)
		h = bench_mix(h, (unsigned char)s->at[i]);
	if (strlen(s->at) != s->len)
		bench_fail("realloc lost data");
	return h;
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	uint64_t rng = 43, h = 0;
	char piece[PIECE];

	for (size_t i = 0; i < PIECE; i++)
		piece[i] = (char)('a' + i % 26);
	for (size_t r = 0; r < rounds; r++) {
		struct string s[STRINGS] = { 0 };

		while (s[STRINGS - 1].len < LAST) {
			size_t n = bench_between(&rng, 1, PIECE);

			for (size_t k = 0; k < STRINGS; k++)
				append(&s[k], piece, n);
		}
		for (size_t k = 0; k < STRINGS; k++) {
			h = bench_mix(h, sum(&s[k]));
			free(s[k].at);
		}
	}
	bench_check(h);
	return 0;
}
