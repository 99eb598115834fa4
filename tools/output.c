/* SPDX-License-Identifier: MIT */
/*
 * output: what a verb has made, to where the user wants it.
 *
 * A regular file appears under its name when it is whole: a viewer that looks
 * at it meanwhile, or a full disk, must not leave half a profile.
 */
#include "output.h"
#include "cli.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t written = write(fd, p, n);

		if (written < 0 && errno != EINTR)
			return false;
		p += MAX(written, 0);
		n -= (size_t)MAX(written, 0);
	}
	return true;
}

static bool write_direct(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool fine = fd >= 0 && write_all(fd, p, n);

	if (fd >= 0 && close(fd))
		fine = false;
	return fine;
}

/* With the rights that open() would give. */
static bool write_renamed(const char *path, const void *p, size_t n)
{
	char *temp = mem_printf("%s.XXXXXX", path);
	int error, fd = mkostemp(temp, O_CLOEXEC);
	mode_t mask = umask(0);
	bool fine;

	umask(mask);
	fine = fd >= 0 && write_all(fd, p, n) && !fchmod(fd, 0666 & ~mask);
	if (fd >= 0 && close(fd))
		fine = false;
	if (fine && rename(temp, path))
		fine = false;
	error = errno;
	if (fd >= 0 && !fine)
		unlink(temp);
	free(temp);
	errno = error;
	return fine;
}

bool output_write(const char *path, const void *p, size_t n)
{
	struct stat st;
	bool fine;

	if (!path || !strcmp(path, "-")) {
		fflush(stdout);
		path = "standard output";
		fine = write_all(STDOUT_FILENO, p, n);
	} else if (!lstat(path, &st) && !S_ISREG(st.st_mode)) {
		fine = write_direct(path, p, n);
	} else {
		fine = write_renamed(path, p, n);
	}
	if (!fine)
		complain(path, "%s", strerror(errno));
	return fine;
}

bool output_binary(const char *path, const char *name, const void *p, size_t n)
{
	if (path || !isatty(STDOUT_FILENO))
		return output_write(path, p, n);
	if (!output_write(name, p, n))
		return false;
	fprintf(stderr, "gostat: written to %s\n", name);
	return true;
}
