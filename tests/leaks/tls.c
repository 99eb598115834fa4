/* SPDX-License-Identifier: MIT */
/*
 * Thread-local variables of the program: main's, and a living thread's.
 *
 * truth: main keep | clean
 * truth: main drop | 1/4242
 * truth: thread keep | clean
 * truth: thread drop | 1/4242
 */
#include "thread.h"

static __thread void *zero, *filled = (void *)8;
static bool keep;

static NOINLINE void hold(void)
{
	cookie c = make(MARKER);

	put(&zero, c, 0);
	put(&filled, c, 0);
	if (!keep)
		zero = filled = NULL;
	clobber();
}

int main(int argc, char **argv)
{
	keep = said(argc, argv, "keep");
	if (said(argc, argv, "main"))
		hold();
	else
		hold_in_thread(hold);
	now();
	return 0;
}
