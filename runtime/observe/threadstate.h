/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_THREADSTATE_H
#define GOSTAT_OBSERVE_THREADSTATE_H

#include "base/attrs.h"

/* A thread's name and what it does, as the kernel tells. */
struct threadstate {
	int tid;
	char name[16];	   /* printable; "" if it can't be read */
	const char *state; /* "running", "select", "IO wait", ... */
};

/*
 * Costs 10 us. What can't be read is "" and "unknown". Context: anywhere; opens
 * a file for a moment.
 */
void threadstate_read(struct threadstate *s, int tid);

/* "select" for SYS_poll, and so on; "syscall" for what does not wait. */
const char *threadstate_of_syscall(long nr);

#endif
