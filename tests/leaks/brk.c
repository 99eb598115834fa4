/* SPDX-License-Identifier: MIT */
/*
 * Memory from sbrk, of which nobody keeps the address.
 *
 * truth: keep | clean
 * truth: drop | 1/4242
 */
#include "truth.h"

static NOINLINE void hold(bool keep)
{
	char *p = sbrk(1 << 16);

	MUST(p != (void *)-1);
	put(p + 4096, make(MARKER), 0);
	if (!keep)
		memset(p + 4096, 0, 8);
}

int main(int argc, char **argv)
{
	hold(said(argc, argv, "keep"));
	clobber();
	now();
	return 0;
}
