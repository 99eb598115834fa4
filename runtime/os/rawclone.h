/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_RAWCLONE_H
#define GOSTAT_OS_RAWCLONE_H

#include "base/attrs.h"

/*
 * clone(2) onto another stack, without libc knowing: the new task calls fn(arg)
 * and ends with its result. flags are the kernel's; stack_top is the end of the
 * stack. Returns the task's id, or -errno.
 *
 * The task has the caller's thread-local storage, so it must not touch what
 * uses it (errno, malloc, locks), unless the caller stays out of it meanwhile.
 */
long rawclone(unsigned long flags, void *stack_top, int (*fn)(void *),
	void *arg);

#endif
