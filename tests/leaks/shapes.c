/* SPDX-License-Identifier: MIT */
/*
 * Who is direct: of a tree its root, of a ring one, of two rings in a row one
 * of the first; an address of oneself makes nobody indirect.
 *
 * truth: ring 3 | 1/100+2/200
 * truth: ring 1000 | 1/100+999/99900
 * truth: fan 100 | 1/800+100/10000
 * truth: list 5000 | 1/100+4999/499900
 * truth: self | 1/4242
 * truth: rings | 1/100+3/300
 * truth: two | 2/200
 * truth: shared | 2/200+1/4242
 * truth: live | clean
 * truth: tail | 1/100
 */
#include "truth.h"

void *root;
static cookie c[5001];

static void chain(int n)
{
	for (int i = 0; i < n; i++)
		c[i] = make(100);
	for (int i = 0; i + 1 < n; i++)
		tie(c[i], 48, c[i + 1]);
}

static NOINLINE void build(const char *shape, int n)
{
	if (!strcmp(shape, "ring")) {
		chain(n);
		tie(c[n - 1], 0, c[0]);
	} else if (!strcmp(shape, "list")) {
		chain(n);
	} else if (!strcmp(shape, "fan")) {
		c[n] = make(800);
		for (int i = 0; i < n; i++)
			tie(c[n], 8 * (size_t)i, c[i] = make(100));
	} else if (!strcmp(shape, "self")) {
		c[0] = make(MARKER);
		tie(c[0], 4000, c[0]);
	} else if (!strcmp(shape, "rings")) {
		chain(4); /* 0 <-> 1 -> 2 <-> 3 */
		tie(c[1], 0, c[0]);
		tie(c[3], 0, c[2]);
	} else if (!strcmp(shape, "two")) {
		make(100);
		make(100);
	} else if (!strcmp(shape, "shared")) {
		c[2] = make(MARKER);
		tie(c[0] = make(100), 0, c[2]);
		tie(c[1] = make(100), 8, c[2]);
	} else if (!strcmp(shape, "live")) {
		chain(200);
		tie(c[199], 8, c[0]);
		put(&root, c[77], 99);
	} else {
		chain(200); /* of a list the second is held */
		put(&root, c[1], 0);
	}
}

int main(int argc, char **argv)
{
	build(argc > 1 ? argv[1] : "two", argc > 2 ? atoi(argv[2]) : 0);
	clobber();
	now();
	return 0;
}
