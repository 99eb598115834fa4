/* SPDX-License-Identifier: MIT */
/*
 * Memory of which the program has said that no copy of the process needs it:
 * while it was only reserved, as V8 does with each of a thousand pages, or when
 * it was in use already, as drivers do.
 *
 * truth: reserved keep | clean modes=exit,find,stw
 * truth: reserved drop | 1/4242
 * truth: many keep | clean modes=exit,find,stw
 * truth: many drop | 1/4242
 * truth: used keep | clean modes=exit,find,stw
 * truth: used drop | 1/4242
 * truth: wiped keep | clean modes=exit,find,stw
 * truth: wiped drop | 1/4242
 */
#include "truth.h"

#include <sys/mman.h>

enum { SIZE = 64 << 10, MANY = 1000 };

static char *map;

/* A page of its own behind it: neighbours would be one. */
static char *more(int prot, int advice)
{
	char *p = mmap(NULL, SIZE + 4096, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	MUST(p != MAP_FAILED);
	MUST(!mprotect(p, SIZE, prot));
	MUST(!madvise(p, SIZE, advice));
	MUST(!mprotect(p, SIZE, PROT_READ | PROT_WRITE));
	return p;
}

int main(int argc, char **argv)
{
	char *last;

	if (said(argc, argv, "used"))
		map = more(PROT_READ | PROT_WRITE, MADV_DONTFORK);
	else if (said(argc, argv, "wiped"))
		map = more(PROT_READ | PROT_WRITE, MADV_WIPEONFORK);
	else
		map = more(PROT_NONE, MADV_DONTFORK);
	last = map;
	for (int i = 0; i < MANY && said(argc, argv, "many"); i++) {
		char *next = more(PROT_NONE, MADV_DONTFORK);

		*(char **)(last + SIZE / 2) = next + 5000;
		last = next;
	}
	put(last + SIZE - 8, make(MARKER), 0);
	if (said(argc, argv, "drop"))
		memset(last + SIZE - 8, 0, 8);
	last = NULL;
	clobber();
	now();
	return 0;
}
