/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_TASKS_H
#define GOSTAT_OS_TASKS_H

/*
 * The threads and CPUs of this process, asked of the kernel. Everything here is
 * async-signal-safe and leaves errno alone.
 */

#include "base/attrs.h"

/* A walk over /proc/self/task; the buffer holds some 40 entries at a time. */
struct tasks {
	int fd; /* of the folder, for openat("TID/..."); -1: nothing to walk */
	unsigned pos, len;
	char buf[1024] __attribute__((aligned(8)));
};

/*
 * Start a walk. False when /proc is not there or the process has no descriptor
 * to spare; tasks_next() then gives 0 and tasks_close() is harmless.
 */
bool tasks_open(struct tasks *t);

/*
 * The next thread's id, 0 after the last. Threads that start or end during the
 * walk may or may not be seen; hidden ones never are.
 */
int tasks_next(struct tasks *t);

void tasks_close(struct tasks *t);

/*
 * Leave this thread out of walks from now on; tid 0: hide none. One at a time:
 * the library's helper.
 */
void tasks_hide(int tid);
int tasks_hidden(void);

/* The program has restricted its system calls: no more walks. */
void tasks_quiet(void);

/* Number of threads that a walk sees; at least 1. */
unsigned tasks_count(void);

/*
 * Number of all threads, hidden ones included, without a walk; 0 if /proc does
 * not say.
 */
unsigned tasks_total(void);

/* CPUs in this process's affinity mask when the library was loaded. */
unsigned cpus_usable(void);

/* Let the calling thread run on all of those again. */
void cpus_use_all(void);

#endif
