/* SPDX-License-Identifier: MIT */
/*
 * A thread on a stack that the program has given it: heap, mapping, static
 * memory. While it lives, its frames count.
 *
 * truth: heap keep | clean
 * truth: heap drop | 1/4242
 * truth: mapped keep | clean
 * truth: mapped drop | 1/4242
 * truth: static keep | clean
 * truth: static drop | 1/4242
 */
#include "truth.h"

#include <pthread.h>
#include <sys/mman.h>

enum { SIZE = 256 << 10 };

static char stack[SIZE] __attribute__((aligned(4096)));
static volatile int ready;
static bool keep;

static void *thread(void *arg)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	if (!keep)
		local = NULL;
	clobber();
	ready = 1;
	for (;;)
		pause();
	return local ? arg : NULL;
}

static NOINLINE void start(const char *where)
{
	pthread_attr_t a;
	pthread_t t;
	void *p = stack;

	if (!strcmp(where, "heap"))
		p = aligned_alloc(4096, SIZE);
	else if (!strcmp(where, "mapped"))
		p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(p && p != MAP_FAILED);
	pthread_attr_init(&a);
	MUST(!pthread_attr_setstack(&a, p, SIZE));
	MUST(!pthread_create(&t, &a, thread, NULL));
	pthread_attr_destroy(&a);
	while (!ready)
		;
}

int main(int argc, char **argv)
{
	keep = said(argc, argv, "keep");
	start(argc > 1 ? argv[1] : "heap");
	clobber();
	now();
	return 0;
}
