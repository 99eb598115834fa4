/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_INITTRACE_H
#define GOSTAT_PRELOAD_INITTRACE_H

/*
 * GODEBUG=inittrace=1: a line on stderr for what was initialised since the last
 * call. begin: our constructor begins.
 */
void inittrace_begin(void);
void inittrace_line(const char *what);

#endif
