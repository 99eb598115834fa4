/* SPDX-License-Identifier: MIT */
/*
 * The end of a program, in order: what exit handlers and destructors free is no
 * leak, though nothing leads to it any more when main returns; what they leak
 * is one.
 *
 * truth: free | clean modes=exit,strict
 * truth: keep | 1/4242
 * truth: late | 1/77 modes=exit,strict
 * truth: _exit | 1/4242
 */
#include "truth.h"

static cookie c;
static bool frees, late;

static void handler(void)
{
	if (frees)
		drop(c);
	clobber();
}

__attribute__((destructor)) static void at_the_end(void)
{
	if (late)
		make(77);
	clobber();
}

int main(int argc, char **argv)
{
	frees = !said(argc, argv, "keep");
	late = said(argc, argv, "late");
	atexit(handler);
	c = make(MARKER);
	clobber();
	now();
	if (said(argc, argv, "_exit"))
		_exit(0);
	return 0;
}
