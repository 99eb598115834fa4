/* SPDX-License-Identifier: MIT */
/*
 * Values of pthread keys: the first 32 lie in the thread's descriptor, later
 * ones in a block that hangs off it.
 *
 * truth: 1 main keep | clean
 * truth: 1 main drop | 1/4242
 * truth: 39 main keep | clean
 * truth: 39 main drop | 1/4242
 * truth: 500 main keep | clean
 * truth: 1 thread keep | clean
 * truth: 1 thread drop | 1/4242
 * truth: 39 thread keep | clean
 * truth: 39 thread drop | 1/4242
 * truth: 500 thread keep | clean
 */
#include "thread.h"

static pthread_key_t key;
static bool keep;

static NOINLINE void set(cookie c)
{
	pthread_setspecific(key, reveal(c));
}

static NOINLINE void hold(void)
{
	set(make(MARKER));
	if (!keep)
		pthread_setspecific(key, NULL);
	clobber();
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;

	keep = said(argc, argv, "keep");
	do
		MUST(!pthread_key_create(&key, NULL));
	while ((int)key < n);
	if (said(argc, argv, "main"))
		hold();
	else
		hold_in_thread(hold);
	now();
	return 0;
}
