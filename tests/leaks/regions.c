/* SPDX-License-Identifier: MIT */
/*
 * Regions that the program has registered: one with an unreadable half, one
 * inside an object that nobody refers to, one of a mapping in strict mode.
 *
 * truth: lsan keep | clean
 * truth: lsan drop | 1/4242
 * truth: lsan keep | 1/4242 env=LSAN_OPTIONS=use_root_regions=0 modes=strict
 * truth: roots keep | clean
 * truth: roots drop | 1/4242
 * truth: twice | clean
 */
#include "truth.h"

#include <sys/mman.h>

enum { HALF = 64 << 10 };

void __lsan_register_root_region(const void *p, size_t n) __attribute__((weak));
void __lsan_unregister_root_region(const void *p, size_t n)
	__attribute__((weak));

static cookie region;

static NOINLINE void hold(void)
{
	char *p = mmap(NULL, 2 * HALF, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED);
	MUST(!mprotect(p + HALF, HALF, PROT_NONE));
	put(p + HALF - 8, make(MARKER), 0);
	region = ~(uintptr_t)p;
}

static NOINLINE void tell(const char *how, bool keep)
{
	char *p = reveal(region);

	if (!strcmp(how, "lsan")) {
		__lsan_register_root_region(p, 2 * HALF);
		if (!keep)
			__lsan_unregister_root_region(p, 2 * HALF);
	} else if (!strcmp(how, "twice")) {
		MUST(!gostat_add_roots(p, p + 2 * HALF));
		MUST(!gostat_add_roots(p, p + 2 * HALF));
		MUST(!gostat_remove_roots(p, p + 2 * HALF));
	} else {
		MUST(!gostat_add_roots(p, p + 2 * HALF));
		if (!keep)
			MUST(!gostat_remove_roots(p, p + 2 * HALF));
	}
}

int main(int argc, char **argv)
{
	hold();
	tell(argc > 1 ? argv[1] : "lsan", said(argc, argv, "keep"));
	clobber();
	now();
	return 0;
}
