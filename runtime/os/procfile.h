/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_PROCFILE_H
#define GOSTAT_OS_PROCFILE_H

#include "base/attrs.h"

/*
 * Small files of /proc, read with system calls only. Async-signal-safe, errno
 * untouched.
 */

/*
 * Read up to cap - 1 bytes of a file and end them with NUL. Returns how many,
 * 0 if the file can't be read.
 */
size_t procfile_read(const char *path, char *buf, size_t cap);

/* The same for /proc/self/task/TID/FILE. */
size_t procfile_read_task(int tid, const char *file, char *buf, size_t cap);

/*
 * The number of open descriptors of this process, the one used to count them
 * left out; -1 if /proc can't be read.
 */
long procfile_count_fds(void);

/*
 * The n-th word (0: the first) of a line, as a number; words are divided by
 * blanks. 0 if there is no such word.
 */
uint64_t procfile_word_u64(const char *line, unsigned n);

#endif
