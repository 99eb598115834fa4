/* SPDX-License-Identifier: MIT */
/*
 * A program that brings its own options and suppressions.
 *
 * truth: | 1/4242 status=33 suppressed=1/100
 * truth: | 1/4242 status=34 suppressed=1/100 env=LSAN_OPTIONS=exitcode=34
 */
#include "truth.h"

const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);
NOINLINE cookie known_leak(void);

const char *__lsan_default_options(void)
{
	return "exitcode=33";
}

const char *__lsan_default_suppressions(void)
{
	return "leak:known_leak\n";
}

cookie known_leak(void)
{
	void *p = malloc(100);

	gostat_keep_alive(p);
	return ~(uintptr_t)p;
}

int main(void)
{
	known_leak();
	make(MARKER);
	clobber();
	now();
	return 0;
}
