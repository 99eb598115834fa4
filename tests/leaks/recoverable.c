/* SPDX-License-Identifier: MIT */
/*
 * LeakSanitizer's own interface: a check that can be repeated says 0, then 1,
 * and frees or forgets nothing; a final one ends the process; options, rules
 * and a veto from the program.
 *
 * truth: repeat | 12/50904 stderr=SUMMARY modes=exit,strict
 * truth: fatal | 1/4242 status=23 modes=exit,strict
 * truth: fatal clean | clean modes=exit,strict
 * truth: after | 1/4242 modes=exit,strict
 */
#include "truth.h"

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
void __lsan_do_leak_check(void) __attribute__((weak));

static NOINLINE void repeat(void)
{
	MUST(__lsan_do_recoverable_leak_check() == 0);
	for (int i = 0; i < 12; i++) {
		cookie c = make(MARKER);

		c = 0;
		clobber();
		MUST(__lsan_do_recoverable_leak_check() == 1 || c);
	}
}

int main(int argc, char **argv)
{
	if (said(argc, argv, "repeat")) {
		repeat();
		return 0;
	}
	if (!said(argc, argv, "clean"))
		make(MARKER);
	clobber();
	if (!said(argc, argv, "after"))
		__lsan_do_leak_check();
	/* Not looked at again. */
	if (said(argc, argv, "fatal"))
		MUST(said(argc, argv, "clean"));
	return 0;
}
