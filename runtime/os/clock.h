/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_CLOCK_H
#define GOSTAT_OS_CLOCK_H

/* Clocks by system call: async-signal-safe, errno untouched. */

#include "os/syscall.h"

#include <time.h>

static inline int64_t clock_ns(int clock)
{
	struct timespec ts = {0};

	sys2(SYS_clock_gettime, clock, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Nanoseconds since 1970. */
static inline int64_t clock_unix_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Nanoseconds on a clock that never goes back; stands still in suspend. */
static inline int64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

#endif
