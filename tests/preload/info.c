/* SPDX-License-Identifier: MIT */
/*
 * mallinfo2, malloc_info, malloc_stats, malloc_trim, mallopt: true of the heap
 * in use, whichever that is. The program holds under glibc too.
 */
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

enum { N = 20000, SIZE = 200 };

static void *p[N];

/* Figures of two moments differ by what was allocated between. */
static void check_mallinfo(void)
{
	struct mallinfo2 a = mallinfo2(), b, c;
	size_t big = 300 << 20;
	void *large;

	for (int i = 0; i < N; i++)
		p[i] = memset(malloc(SIZE), 1, SIZE);
	b = mallinfo2();
	CHECK(b.uordblks - a.uordblks >= (size_t)N * SIZE);
	CHECK(b.uordblks - a.uordblks <= (size_t)N * (SIZE + 16) + 4096);
	CHECK(b.arena == b.uordblks + b.fordblks);
	large = malloc(big);
	c = mallinfo2();
	CHECK(c.hblks == b.hblks + 1 && c.hblkhd >= b.hblkhd + big);
	free(large);
	c = mallinfo2();
	CHECK(c.hblks == b.hblks && c.hblkhd == b.hblkhd);
	for (int i = 0; i < N; i++)
		free(p[i]);
	c = mallinfo2();
	CHECK(c.uordblks <= a.uordblks + 4096);
	CHECK(c.fordblks >= (size_t)N * SIZE / 2 || c.arena < b.arena);
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%*u %zu", &pages) == 1);
	fclose(f);
	return pages * 4096;
}

static void check_trim(void)
{
	size_t before, after;

	for (int i = 0; i < N; i++)
		p[i] = memset(malloc(2000), 1, 2000);
	for (int i = 0; i < N; i++)
		free(p[i]);
	before = resident();
	malloc_trim(0);
	after = resident();
	/* glibc may have trimmed by itself. */
	CHECK(after < before || before < (size_t)N * 1000);
	CHECK(malloc_trim(0) == 0 || malloc_trim(0) == 0);
}

static void check_mallopt(void)
{
	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
	CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
	CHECK(mallopt(M_TOP_PAD, 1 << 16) == 1);
	CHECK(mallopt(M_ARENA_MAX, 1) == 1);
	CHECK(mallopt(M_MXFAST, 64) == 1);
	CHECK(mallopt(M_MXFAST, 1000) == 0);
	CHECK(mallopt(-12345, 1) == 1);
}

int main(void)
{
	CHECK(malloc_info(1, stdout) == EINVAL);
	check_mallinfo();
	check_trim();
	check_mallopt();
	malloc_stats();
	fputs("end\n", stderr);
	CHECK(malloc_info(0, stdout) == 0);
	return 0;
}
