/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_CAPTURE_H
#define GOSTAT_TESTS_CAPTURE_H

/*
 * What a call writes to a descriptor, as a string: capture_start(2); call;
 * text = capture_end(). One capture at a time.
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
	int fd, saved, file;
} capture;

static inline void capture_start(int fd)
{
	capture.fd = fd;
	capture.saved = dup(fd);
	capture.file = memfd_create("capture", MFD_CLOEXEC);
	dup2(capture.file, fd);
}

/* The caller frees the text. */
static inline char *capture_end(void)
{
	off_t size = lseek(capture.file, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	dup2(capture.saved, capture.fd);
	close(capture.saved);
	if (pread(capture.file, text, (size_t)size, 0) != size)
		abort();
	close(capture.file);
	return text;
}

#endif
