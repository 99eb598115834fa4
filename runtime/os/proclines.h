/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_PROCLINES_H
#define GOSTAT_OS_PROCLINES_H

#include "base/attrs.h"

/*
 * A file of /proc, line by line, of any length. Async-signal-safe, errno
 * untouched.
 *
 *	struct proclines l;
 *
 *	proclines_open(&l, "/proc/self/timers");
 *	while ((line = proclines_next(&l)))
 *		...
 *	proclines_close(&l);
 */
struct proclines {
	int fd; /* -1: nothing to read */
	unsigned pos, len;
	char buf[2048]; /* what is longer is given in parts */
};

/* False when it can't be opened; the others are harmless then. */
bool proclines_open(struct proclines *l, const char *path);

/* Without its newline; good until the next call. NULL after the last. */
char *proclines_next(struct proclines *l);

void proclines_close(struct proclines *l);

#endif
