/* SPDX-License-Identifier: MIT */
/*
 * A million objects in a row, a binary tree of half a million, a star in which
 * all know each other's centre, and one who leads there: nothing overflows and
 * nothing is counted twice.
 *
 * truth: list | 1/24+999999/23999976
 * truth: list held | clean
 * truth: tree | 1/40+524286/20971440
 * truth: tree held | clean
 * truth: star | 1/8+100001/3200000
 */
#include "truth.h"

void *root;

struct node {
	struct node *a, *b;
	long value;
};

/* Not by recursion, which would give every object a stack of its own. */
static struct node *tree(int n)
{
	struct node **all = calloc((size_t)n + 1, sizeof(*all)), *top;

	MUST(all);
	for (int i = n; i > 0; i--) {
		struct node *new = calloc(1, 40);

		MUST(new);
		new->a = 2 * i < n ? all[2 * i] : NULL;
		new->b = 2 * i < n ? all[2 * i + 1] : NULL;
		all[i] = new;
	}
	top = all[1];
	memset(all, 0, (size_t)n * sizeof(*all));
	free(all);
	return top;
}

static struct node *list(int n)
{
	struct node *first = NULL;

	for (int i = 0; i < n; i++) {
		struct node *new = calloc(1, sizeof(*new));

		MUST(new);
		new->a = first;
		first = new;
	}
	return first;
}

static struct node *star(int n)
{
	struct node **centre = malloc((size_t)n * sizeof(*centre));
	struct node ***top = malloc(sizeof(*top));

	MUST(centre && top);
	*top = centre;
	for (int i = 0; i < n; i++) {
		centre[i] = calloc(1, sizeof(**centre));
		MUST(centre[i]);
		centre[i]->b = (struct node *)centre;
	}
	return (struct node *)top;
}

static NOINLINE void build(const char *shape)
{
	root = !strcmp(shape, "list")	? list(1000000)
	       : !strcmp(shape, "tree") ? tree((1 << 19) - 1)
					: star(100000);
}

int main(int argc, char **argv)
{
	build(argc > 1 ? argv[1] : "list");
	if (!said(argc, argv, "held"))
		root = NULL;
	clobber();
	now();
	return 0;
}
