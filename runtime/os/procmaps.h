/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_PROCMAPS_H
#define GOSTAT_OS_PROCMAPS_H

/*
 * /proc/self/maps, one mapping at a time, through a buffer of the caller's.
 * Async-signal-safe, allocates nothing, leaves errno alone.
 *
 *	struct procmaps m;
 *	struct procmap v;
 *
 *	procmaps_open(&m, buf, sizeof(buf));
 *	while (procmaps_next(&m, &v))
 *		...
 *	procmaps_close(&m);
 */

#include "base/attrs.h"

struct procmap {
	uintptr_t lo, hi;
	uint8_t prot; /* PROT_READ | PROT_WRITE | PROT_EXEC */
	bool shared;  /* MAP_SHARED */
	uint64_t offset;
	uint32_t major, minor; /* device */
	uint64_t inode;
	/*
	 * File, or a name in brackets, or ""; as the kernel spells it: a newline
	 * is \012, and " (deleted)" may follow. In the buffer: good until the
	 * next call. A path that does not fit is cut.
	 */
	const char *path;
};

struct procmaps {
	int fd;
	char *buf;
	size_t size;
	size_t pos, len; /* what is read but not yet parsed */
	bool skip;	 /* to the end of a line that did not fit */
};

/* A line without its path has at most 100 bytes or so. */
enum { PROCMAPS_BUF_MIN = 256 };

/*
 * Start reading; size >= PROCMAPS_BUF_MIN (4096 serves a page at a time).
 * False when /proc is not there or no descriptor is free: procmaps_next() then
 * returns false and procmaps_close() is harmless.
 */
bool procmaps_open(struct procmaps *m, char *buf, size_t size);

/* As above from a descriptor that procmaps_close() will close. */
void procmaps_from(struct procmaps *m, int fd, char *buf, size_t size);

/*
 * The next mapping, in order of addresses; false after the last. What the
 * program maps or unmaps meanwhile may or may not be seen, all else is.
 */
bool procmaps_next(struct procmaps *m, struct procmap *v);

void procmaps_close(struct procmaps *m);

#endif
