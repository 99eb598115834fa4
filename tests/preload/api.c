/* SPDX-License-Identifier: MIT */
/* Uses gostat.h as a program does that may run with or without the library. */
#include <gostat.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long size_of(FILE *f)
{
	struct stat st;

	assert(!fstat(fileno(f), &st));
	return st.st_size;
}

/* Files that other tests read with Go's tools; here: that there is something. */
static void check_files(void)
{
	FILE *f = tmpfile(), *full = fopen("/dev/full", "w");
	unsigned char magic[16] = {0};

	assert(gostat_write_heap_profile(fileno(f)) == 0);
	assert(size_of(f) > 100);
	assert(pread(fileno(f), magic, 2, 0) == 2);
	assert(magic[0] == 0x1f && magic[1] == 0x8b);
	errno = 0;
	assert(gostat_write_heap_profile(-1) == -1 && errno == EBADF);
	assert(gostat_write_heap_profile(999) == -1 && errno == EBADF);
	assert(gostat_write_heap_profile(fileno(full)) == -1);
	assert(errno == ENOSPC);
	fclose(full);

	assert(!ftruncate(fileno(f), 0));
	assert(lseek(fileno(f), 0, SEEK_SET) == 0);
	assert(gostat_trace_start(999) == -1 && errno == EBADF);
	assert(gostat_trace_start(fileno(f)) == 0);
	assert(gostat_trace_start(fileno(f)) == -1 && errno == EBUSY);
	gostat_trace_stop();
	gostat_trace_stop();
	assert(pread(fileno(f), magic, 16, 0) == 16);
	assert(!memcmp(magic, "go 1.19 trace\0\0", 16));
	/* The thread that writes is none of the program's. */
	assert(gostat_num_threads() == 1);
	fclose(f);
}

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
	check_files();
	assert(gostat_add_roots(&a, &a + 1) == 0);
	assert(gostat_remove_roots(&a, &a + 1) == 0);
	assert(gostat_remove_roots(&a, &a + 1) == -1 && errno == ENOENT);
}

int main(void)
{
	if (gostat_available())
		check();
	puts(gostat_available() ? "with" : "without");
	return 0;
}
