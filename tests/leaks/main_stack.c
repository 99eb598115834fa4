/* SPDX-License-Identifier: MIT */
/*
 * A local variable of main while it has not returned.
 *
 * truth: keep | clean
 * truth: drop | 1/4242
 */
#include "truth.h"

static NOINLINE void finish(void)
{
	now();
	exit(0);
}

int main(int argc, char **argv)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	if (said(argc, argv, "drop"))
		local = NULL;
	clobber();
	finish();
	return local != NULL;
}
