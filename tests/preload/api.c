/* SPDX-License-Identifier: MIT */
/* Uses gostat.h as a program does that may run with or without the library. */
#include <gostat.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(void)
{
	struct gostat_memstats a, b;
	void *p[100];

	gostat_read_memstats(&a);
	for (int i = 0; i < 100; i++)
		p[i] = malloc(1000);
	gostat_read_memstats(&b);
	assert(b.Mallocs - a.Mallocs == 100);
	assert(b.Alloc - a.Alloc == 100 * 1024);
	assert(b.Alloc == b.HeapAlloc && b.EnableGC && !b.DebugGC);
	for (int i = 0; i < 100; i++)
		free(p[i]);
	gostat_read_memstats(&b);
	assert(b.Frees - a.Frees == 100 && b.Alloc == a.Alloc);
	assert(gostat_num_cpu() >= 1 && gostat_num_threads() == 1);
	assert(!strcmp(gostat_goos(), "linux"));
	assert(gostat_set_memory_limit(-1) == INT64_MAX);
	assert(gostat_set_memory_limit(1 << 30) == INT64_MAX);
	assert(gostat_set_memory_limit(INT64_MAX) == 1 << 30);
	assert(gostat_set_max_heap(64 << 20) == 0);
	assert(!malloc(100 << 20));
	assert(gostat_set_max_heap(0) == 64 << 20);
	gostat_free_os_memory();
}

int main(void)
{
	if (gostat_available())
		check();
	puts(gostat_available() ? "with" : "without");
	return 0;
}
