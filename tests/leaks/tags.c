/* SPDX-License-Identifier: MIT */
/*
 * Bits of an address that mean something else to the program. Low ones are an
 * inside of the object; high ones have to be announced.
 *
 * truth: low | clean
 * truth: high16 | 1/4242
 * truth: high16 | clean env=GOSTAT_POINTER_TAGS=16
 * truth: high8 | 1/4242
 * truth: high8 | clean env=GOSTAT_POINTER_TAGS=8
 * truth: high8 | clean env=GOSTAT_POINTER_TAGS=16
 * truth: high16 | 1/4242 env=GOSTAT_POINTER_TAGS=8
 * truth: none | clean env=GOSTAT_POINTER_TAGS=16
 */
#include "truth.h"

uintptr_t root[2];

int main(int argc, char **argv)
{
	put(&root[0], make(MARKER), 0);
	put(&root[1], make(100), 0);
	drop(~root[1]);
	root[1] = 0;
	if (said(argc, argv, "low"))
		root[0] |= 7;
	if (said(argc, argv, "high16"))
		root[0] |= (uintptr_t)0xabcd << 48;
	if (said(argc, argv, "high8"))
		root[0] |= (uintptr_t)0xab << 56;
	clobber();
	now();
	return 0;
}
