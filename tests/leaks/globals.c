/* SPDX-License-Identifier: MIT */
/*
 * Variables of the program: initialised, not initialised, static in a
 * function, and the last of an array of 1024.
 *
 * truth: data keep | clean
 * truth: data drop | 1/4242
 * truth: bss keep | clean
 * truth: bss drop | 1/4242
 * truth: array keep | clean
 * truth: array drop | 1/4242
 * truth: bss keep | 1/4242 env=LSAN_OPTIONS=use_globals=0
 * truth: data keep | 1/4242 env=LSAN_OPTIONS=use_globals=0
 */
#include "truth.h"

void *in_data = (void *)16;
void *in_bss;
void *in_array[1024];

int main(int argc, char **argv)
{
	void **place = said(argc, argv, "data")	 ? &in_data
		       : said(argc, argv, "bss") ? &in_bss
						 : &in_array[1023];

	put(place, make(MARKER), 0);
	if (said(argc, argv, "drop"))
		*place = NULL;
	clobber();
	now();
	return 0;
}
