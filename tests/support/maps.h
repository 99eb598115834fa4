/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_MAPS_H
#define GOSTAT_TESTS_MAPS_H

/*
 * What the kernel says about this process's memory, read without allocating:
 * an independent witness for the Sys figures.
 */

#include "base/attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes in private, readable and writable mappings without a name or file. */
static inline size_t maps_anonymous(void)
{
	static char buf[1 << 20];
	size_t len = 0, sum = 0;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while ((n = read(fd, buf + len, sizeof(buf) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	buf[len] = '\0';
	for (char *line = buf, *end; (end = strchr(line, '\n'));
		line = end + 1) {
		char *rest;
		size_t lo = strtoul(line, &rest, 16);
		size_t hi = strtoul(rest + 1, &rest, 16);

		*end = '\0';
		if (!strncmp(rest, " rw-p 00000000 00:00 0", 22) &&
			!strpbrk(rest, "/["))
			sum += hi - lo;
	}
	return sum;
}

/* Is there memory in [p, p + size) (multiples of 4 KiB)? Bytes of it. */
static inline size_t maps_resident(const void *p, size_t size)
{
	unsigned char vec[512];
	size_t n = 0;

	for (size_t at = 0; at < size; at += sizeof(vec) << 12) {
		size_t part = MIN(size - at, sizeof(vec) << 12);

		if (mincore((char *)p + at, part, vec))
			return SIZE_MAX;
		for (size_t i = 0; i < part >> 12; i++)
			n += (vec[i] & 1) << 12;
	}
	return n;
}

/* Nothing mapped in [p, p + size)? */
static inline bool maps_vacant(const void *p, size_t size)
{
	for (size_t at = 0; at < size; at += 4096) {
		unsigned char vec;

		if (!mincore((char *)p + at, 4096, &vec) || errno != ENOMEM)
			return false;
	}
	return true;
}

static inline bool all_zero(const void *p, size_t size)
{
	const unsigned char *b = p;

	return size == 0 || (b[0] == 0 && !memcmp(b, b + 1, size - 1));
}

#endif
