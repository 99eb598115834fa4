/* SPDX-License-Identifier: MIT */
/*
 * procfile: what the kernel tells in /proc, without stdio.
 *
 * Files of /proc are made while they are read, so a file that matters as a
 * whole must be read with one call into a buffer that is large enough; the
 * loop below only goes on where the kernel stops at a page.
 *
 * Locks: none.
 */
#include "os/procfile.h"
#include "base/fmt.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>

struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

size_t procfile_read(const char *path, char *buf, size_t cap)
{
	long fd = sys2(SYS_open, path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	buf[0] = '\0';
	if (sys_failed(fd))
		return 0;
	while (len < cap - 1) {
		long n = sys3(SYS_read, fd, buf + len, cap - 1 - len);

		if (n == -EINTR)
			continue;
		if (sys_failed(n) || n == 0)
			break;
		len += (size_t)n;
	}
	sys1(SYS_close, fd);
	buf[len] = '\0';
	return len;
}

size_t procfile_read_task(int tid, const char *file, char *buf, size_t cap)
{
	char path[64];
	struct fmt f;

	fmt_init(&f, path, sizeof(path), -1);
	fmt_printf(&f, "/proc/self/task/%d/%s", tid, file);
	return procfile_read(fmt_cstr(&f), buf, cap);
}

long procfile_count_fds(void)
{
	char buf[2048] __attribute__((aligned(8)));
	long fd = sys2(SYS_open, "/proc/self/fd",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long count = -1, n;

	if (sys_failed(fd))
		return -1;
	while ((n = sys3(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buf + at);

			count += e->name[0] != '.';
			at += e->reclen;
		}
	sys1(SYS_close, fd);
	return n < 0 ? -1 : count;
}

uint64_t procfile_word_u64(const char *line, unsigned n)
{
	uint64_t v = 0;

	while (*line && *line != '\n') {
		while (*line == ' ' || *line == '\t')
			line++;
		if (!n--)
			break;
		while (*line > ' ')
			line++;
	}
	for (; *line >= '0' && *line <= '9'; line++)
		v = v * 10 + (uint64_t)(*line - '0');
	return v;
}
