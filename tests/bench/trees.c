// SPDX-License-Identifier: MIT
/*
 * trees ROUNDS: build, walk and drop binary search trees.
 *
 * One big tree of random keys lives throughout and loses and gains an eighth
 * of its nodes each round; small perfect trees come and go beside it. All
 * nodes have one of two sizes, as in compilers and interpreters.
 */
#include "bench.h"

enum { KEYS = 1 << 16, SMALL_DEPTH = 9, SMALL_TREES = 48 };

struct node {
	struct node *left, *right;
	uint64_t key;
};

/* A leaf of the small trees carries a label beside its links. */
struct leaf {
	struct node node;
	char label[24];
};

static struct node *insert(struct node *t, uint64_t key)
{
	struct node **at = &t;

	while (*at)
		at = key < (*at)->key ? &(*at)->left : &(*at)->right;
	*at = bench_must(malloc(sizeof(**at)));
	**at = (struct node){ .key = key };
	return t;
}

/* Unlink the smallest node of *at. */
static struct node *take_min(struct node **at)
{
	struct node *min;

	while ((*at)->left)
		at = &(*at)->left;
	min = *at;
	*at = min->right;
	return min;
}

static struct node *delete(struct node *t, uint64_t key)
{
	struct node **at = &t;
	struct node *old, *heir;

	while (*at && (*at)->key != key)
		at = key < (*at)->key ? &(*at)->left : &(*at)->right;
	old = *at;
	if (!old)
		bench_fail("a key is lost");
	if (!old->right) {
		*at = old->left;
	} else {
		heir = take_min(&old->right);
		heir->left = old->left;
		heir->right = old->right;
		*at = heir;
	}
	free(old);
	return t;
}

static struct node *perfect(int depth)
{
	struct leaf *leaf;
	struct node *t;

	if (!depth) {
		leaf = bench_must(malloc(sizeof(*leaf)));
		leaf->node = (struct node){ .key = 1 };
		memset(leaf->label, 'x', sizeof(leaf->label));
		return &leaf->node;
	}
	t = bench_must(malloc(sizeof(*t)));
	t->key = (uint64_t)depth;
	t->left = perfect(depth - 1);
	t->right = perfect(depth - 1);
	return t;
}

static uint64_t walk(const struct node *t, uint64_t h)
{
	if (!t)
		return h;
	return walk(t->right, bench_mix(walk(t->left, h), t->key));
}

static void drop(struct node *t)
{
	if (!t)
		return;
	drop(t->left);
	drop(t->right);
	free(t);
}

int main(int argc, char **argv)
{
	size_t rounds = bench_number(argc > 1 ? argv[1] : NULL, "rounds?");
	static uint64_t key[KEYS];
	struct node *big = NULL;
	uint64_t rng = 41, h = 0;

	for (size_t i = 0; i < KEYS; i++) {
		key[i] = bench_rand(&rng);
		big = insert(big, key[i]);
	}
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = r % 8; i < KEYS; i += 8) {
			big = delete(big, key[i]);
			key[i] = bench_rand(&rng);
			big = insert(big, key[i]);
		}
		for (int i = 0; i < SMALL_TREES; i++) {
			struct node *small = perfect(SMALL_DEPTH);

			h = walk(small, h);
			drop(small);
		}
	}
	h = walk(big, h);
	drop(big);
	bench_check(h);
	return 0;
}
