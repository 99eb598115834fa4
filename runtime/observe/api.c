/* SPDX-License-Identifier: MIT */
/*
 * api: the functions of gostat.h that ask a module of the runtime, or the
 * system.
 *
 * Each is a line or two: the header has the contract, the module that is called
 * has the story. What a C program has no use for (a thread is always locked to
 * itself) is there all the same, so that code carried over from Go compiles.
 */
#include "gostat.h"
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "base/attrs.h"
#include "gc/leakscope.h"
#include "gc/roots.h"
#include "observe/goroutine.h"
#include "observe/heapprofile.h"
#include "observe/gcrun.h"
#include "observe/memstats.h"
#include "observe/tracefile.h"
#include "os/syscall.h"
#include "os/tasks.h"
#include "profile/modules.h"

#include <errno.h>
#include <pthread.h>

void gostat_read_memstats(struct gostat_memstats *m)
{
	memstats_read(m);
}

void gostat_free_os_memory(void)
{
	mheap_free_os_memory();
}

int64_t gostat_set_memory_limit(int64_t bytes)
{
	int64_t old = limits_set_memory(bytes);

	if (bytes >= 0)
		gcrun_look();
	return old;
}

size_t gostat_set_max_heap(size_t bytes)
{
	return limits_set_max_heap(bytes);
}

int gostat_write_heap_profile(int fd)
{
	char buf[OS_PAGE];
	struct fmt f;
	int error;

	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	modules_refresh();
	fmt_init(&f, buf, sizeof(buf), fd);
	error = heapprofile_write(&f, true);
	if (!error)
		error = fmt_flush(&f);
	if (error)
		errno = error;
	return error ? -1 : 0;
}

int gostat_trace_start(int fd)
{
	int error = tracefile_start_fd(fd);

	if (error)
		errno = error;
	return error ? -1 : 0;
}

void gostat_trace_stop(void)
{
	tracefile_stop();
}

int gostat_num_cpu(void)
{
	return (int)cpus_usable();
}

int gostat_num_threads(void)
{
	return (int)tasks_count();
}

const char *gostat_goos(void)
{
	return "linux";
}

const char *gostat_goarch(void)
{
	return "amd64";
}

const char *gostat_version(void)
{
	return GOSTAT_VERSION;
}

void gostat_gosched(void)
{
	sys0(SYS_sched_yield);
}

size_t gostat_stack(char *buf, size_t len, bool all)
{
	struct fmt f;

	fmt_init(&f, buf, len, -1);
	goroutines_print(&f, all);
	return f.len;
}

void gostat_goexit(void)
{
	pthread_exit(NULL);
}

void gostat_lock_os_thread(void)
{
}

void gostat_unlock_os_thread(void)
{
}

void gostat_ignore_object(const void *p)
{
	leak_ignore_object(p);
}

void gostat_leak_disable(void)
{
	leak_disable();
}

void gostat_leak_enable(void)
{
	leak_enable();
}

/* What a function that gives an errno value becomes in C. */
static int result(int error)
{
	if (!error)
		return 0;
	errno = error;
	return -1;
}

int gostat_add_roots(const void *lo, const void *hi)
{
	return result(roots_register((uintptr_t)lo, (uintptr_t)hi));
}

int gostat_remove_roots(const void *lo, const void *hi)
{
	return result(roots_unregister((uintptr_t)lo, (uintptr_t)hi));
}
