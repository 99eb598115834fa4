/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_ASLEEP_H
#define GOSTAT_TESTS_ASLEEP_H

/*
 * Until another thread has got where it waits. That it has told us it is about
 * to says nothing on a busy machine, nor does a while of sleep here: it may
 * have been taken off its CPU in front of the call.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel's letter for what thread tid of this process does; 0: gone. */
static inline char task_state(int tid)
{
	char path[64], buf[512];
	const char *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	end = strrchr(buf, ')');
	return end ? end[2] : 0;
}

/*
 * To a thread whose next sleep is the one that is meant. S: in the kernel, and
 * not for a page or a lock of its own.
 */
static inline void await_state(int tid, char state)
{
	char now;

	while ((now = task_state(tid)) != state && now)
		usleep(500);
}

static inline void await_asleep(int tid)
{
	await_state(tid, 'S');
}

/* To all others. */
static inline void await_others(void)
{
	DIR *d = opendir("/proc/self/task");

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && atoi(e->d_name) != gettid())
			await_asleep(atoi(e->d_name));
	if (d)
		closedir(d);
}

#endif
