/* SPDX-License-Identifier: MIT */
/*
 * Objects that are held by their insides: far in, an aligned block in a larger
 * one, a string past its header, the last byte, one past the end.
 *
 * truth: 1 4242 | clean
 * truth: 2000 4242 | clean
 * truth: 4241 4242 | clean
 * truth: 4242 4242 | clean
 * truth: 16 16 | clean
 * truth: 32 32 | clean
 * truth: 64 64 | clean
 * truth: 4096 4096 | clean
 * truth: 8192 8192 | clean
 * truth: 32768 32768 | clean
 * truth: 1048576 1048576 | clean
 * truth: 1048575 1048576 | clean
 * truth: 64 4242 | clean
 */
#include "truth.h"

void *root;

int main(int argc, char **argv)
{
	long at = argc > 1 ? atol(argv[1]) : 0;
	size_t n = argc > 2 ? (size_t)atol(argv[2]) : 64;

	put(&root, make(n), at);
	clobber();
	now();
	return 0;
}
