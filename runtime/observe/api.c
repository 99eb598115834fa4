/* SPDX-License-Identifier: MIT */
/*
 * api: the functions of gostat.h that need nothing but the system.
 *
 * Each is a line or two: the header has the contract, the module that is called
 * has the story. What a C program has no use for (a thread is always locked to
 * itself) is there all the same, so that code carried over from Go compiles.
 */
#include "gostat.h"
#include "base/attrs.h"
#include "os/syscall.h"
#include "os/tasks.h"

#include <pthread.h>

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
