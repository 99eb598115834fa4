// SPDX-License-Identifier: MIT
/*
 * words ROUNDS: a chained hash table of strdup'ed words.
 *
 * 128 Ki words of 2 to 40 letters are inserted; each round deletes a random
 * quarter, looks words up and inserts fresh ones. Two blocks per entry, one of
 * fixed and one of varying size, as in every symbol table and cache.
 */
#include "bench.h"

enum { WORDS = 1 << 17, BUCKETS = 1 << 16, LONGEST = 40 };

struct entry {
	struct entry *next;
	char *word;
	uint32_t hash, seen;
};

static struct entry *bucket[BUCKETS];

static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

/* The word number n: the same letters each time. */
static void spell(char *to, uint64_t n)
{
	uint64_t rng = n * 0x9e3779b97f4a7c15ull + 1;
	size_t len = bench_between(&rng, 2, LONGEST / 2);

	/* A third of the words is long. */
	if (n % 3 == 0)
		len += LONGEST / 2;
	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			bench_rand(&rng);
		to[i] = (char)('a' + (rng >> (i % 8 * 8)) % 26);
	}
	to[len] = '\0';
}

static struct entry **find(const char *word, uint32_t h)
{
	struct entry **at = &bucket[h % BUCKETS];

	while (*at && ((*at)->hash != h || strcmp((*at)->word, word)))
		at = &(*at)->next;
	return at;
}

static void insert(const char *word)
{
	uint32_t h = hash(word);
	struct entry **at = find(word, h);

	if (!*at) {
		*at = bench_must(malloc(sizeof(**at)));
		**at = (struct entry){ .hash = h };
		(*at)->word = bench_must(strdup(word));
	}
	(*at)->seen++;
}

static void delete(const char *word)
{
	struct entry **at = find(word, hash(word));
	struct entry *e = *at;

	if (!e || --e->seen)
		return;
	*at = e->next;
	free(e->word);
	free(e);
}

static uint64_t drop_all(void)
{
	uint64_t h = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		while (bucket[i]) {
			struct entry *e = bucket[i];

			if (hash(e->word) != e->hash)
				bench_fail("a word is damaged");
			h = bench_mix(h, e->hash + e->seen);
			bucket[i] = e->next;
			free(e->word);
			free(e);
		}
	}
	return h;
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	static uint64_t id[WORDS];
	char word[LONGEST + 1];
	uint64_t fresh = 0, rng = 47;

	for (size_t i = 0; i < WORDS; i++) {
		id[i] = fresh++;
		spell(word, id[i]);
		insert(word);
	}
	for (size_t i = 0; i < rounds * (WORDS / 4); i++) {
		size_t k = bench_between(&rng, 0, WORDS - 1);

		spell(word, id[k]);
		delete(word);
		id[k] = fresh++;
		spell(word, id[k]);
		insert(word);
	}
	bench_check(drop_all());
	return 0;
}
