/* SPDX-License-Identifier: MIT */
/*
 * A mapping of 1 TiB with two pages behind it: looked at in no time, and not
 * filled by looking.
 *
 * truth: keep | clean modes=exit,find,stw
 * truth: drop | 1/4242
 */
#include "truth.h"

#include <sys/mman.h>
#include <sys/resource.h>

static char *map;

int main(int argc, char **argv)
{
	struct rusage u;

	map = mmap(NULL, (size_t)1 << 40, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return SKIP;
	map[12345] = 1;
	put(map + ((size_t)1 << 39), make(MARKER), 0);
	if (said(argc, argv, "drop"))
		memset(map + ((size_t)1 << 39), 0, 8);
	clobber();
	now();
	MUST(!getrusage(RUSAGE_SELF, &u));
	MUST(u.ru_maxrss < 100 << 10);
	return 0;
}
