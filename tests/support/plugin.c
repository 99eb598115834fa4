/* SPDX-License-Identifier: MIT */
/*
 * A library to load and unload. Built twice, with PLUGIN_WORDS different but
 * of the same encoded length, so that both have the same code at the same
 * offsets, in frames of different size.
 */
__attribute__((visibility("default"))) int plugin_run(void (*f)(void));

static __attribute__((noinline)) int inner(void (*f)(void), long *p)
{
	volatile long words[PLUGIN_WORDS];

	words[0] = *p;
	f();
	return (int)words[0] + 1;
}

int plugin_run(void (*f)(void))
{
	long x = 1;

	return inner(f, &x) + (int)x;
}
