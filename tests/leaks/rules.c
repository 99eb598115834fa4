/* SPDX-License-Identifier: MIT */
/*
 * Suppressions, by function, by module, from a file, from LSAN_OPTIONS, from
 * the program itself. What hangs off a suppressed object goes with it.
 *
 * truth: | 2/180
 * truth: | 1/80 suppressed=1/100 rules=leak:leak_hundred
 * truth: | 1/80 suppressed=1/100 rules=leak:hundred
 * truth: | 1/80 suppressed=1/100 rules=leak:leak_*dred$
 * truth: | 2/180 rules=leak:^hundred unused=leak:^hundred
 * truth: | clean suppressed=2/180 rules=leak:rules
 * truth: | 2/180 rules=race:rules
 * truth: | clean suppressed=2/180 rules=leak:leak_hundred,leak:leak_eighty
 * truth: chain | 1/80 suppressed=2/4342 rules=leak:leak_hundred
 * truth: | 1/80 suppressed=1/100 lsanrules=leak:leak_hundred
 */
#include "truth.h"

NOINLINE cookie leak_hundred(void);
NOINLINE cookie leak_eighty(void);

cookie leak_hundred(void)
{
	void *p = calloc(1, 100);

	gostat_keep_alive(p);
	return ~(uintptr_t)p;
}

cookie leak_eighty(void)
{
	void *p = calloc(1, 80);

	gostat_keep_alive(p);
	return ~(uintptr_t)p;
}

int main(int argc, char **argv)
{
	cookie c = leak_hundred();

	leak_eighty();
	if (said(argc, argv, "chain"))
		tie(c, 0, make(MARKER));
	c = 0;
	clobber();
	now();
	return (int)c;
}
