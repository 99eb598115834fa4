/* SPDX-License-Identifier: MIT */
/*
 * A program that does not want to be checked at its end.
 *
 * truth: | unchecked modes=exit,strict
 */
#include "truth.h"

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return 1;
}

int main(void)
{
	make(MARKER);
	clobber();
	return 0;
}
