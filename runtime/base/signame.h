/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_SIGNAME_H
#define GOSTAT_BASE_SIGNAME_H

#include "base/attrs.h"

/*
 * The number of the signal spelled by the first len bytes of name: USR1,
 * SIGUSR1, RTMIN+3, RTMAX-1 or 10, in any case. 0 if there is none of that
 * name, or if no handler of ours can serve it: KILL, STOP, and those between
 * SYS and RTMIN, which are libc's own.
 */
int signame_parse(const char *name, size_t len);

/* "USR1", "RTMIN+3" or the bare number into buf; returns buf. */
enum { SIGNAME_MAX = 16 };
char *signame(int signo, char buf[SIGNAME_MAX]);

#endif
