/* SPDX-License-Identifier: MIT */
/*
 * An address in memory that is free does not count, small or large; nor does
 * what was there before an object got the memory.
 *
 * truth: small | 1/4242
 * truth: large | 1/4242
 * truth: again | 1/4242
 */
#include "truth.h"

void *root;

static NOINLINE void hold(size_t n, bool again)
{
	cookie outer = make(n);

	tie(outer, n - 100, make(MARKER));
	put(&root, outer, 0);
	drop(outer);
	if (again) {
		root = malloc(n); /* not cleared */
		MUST(root);
	}
}

int main(int argc, char **argv)
{
	bool large = argc > 1 && strstr(argv[1], "large");

	hold(large ? 1000000 : 600, argc > 1 && strstr(argv[1], "again"));
	clobber();
	now();
	return 0;
}
