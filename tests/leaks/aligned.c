/* SPDX-License-Identifier: MIT */
/*
 * Blocks with an alignment of their own, by every function that makes one, and
 * one that the program aligned itself.
 *
 * truth: keep | clean
 * truth: drop | 6/25452
 */
#include "truth.h"

#include <malloc.h>

void *root[6];

static NOINLINE void hold(void)
{
	char *p = malloc(MARKER);

	MUST(p);
	root[0] = (void *)(((uintptr_t)p + 255) & ~(uintptr_t)255);
	MUST(!posix_memalign(&root[1], 64, MARKER));
	root[2] = aligned_alloc(4096, MARKER);
	root[3] = memalign(65536, MARKER);
	root[4] = valloc(MARKER);
	root[5] = memalign(1 << 21, MARKER);
	for (int i = 1; i < 6; i++) {
		MUST(root[i]);
		root[i] = (char *)root[i] + 77;
	}
}

int main(int argc, char **argv)
{
	hold();
	if (said(argc, argv, "drop"))
		memset(root, 0, sizeof(root));
	clobber();
	now();
	return 0;
}
