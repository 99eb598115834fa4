/* SPDX-License-Identifier: MIT */
/* proclines: see the header. The half line at the buffer's end moves down. */
#include "os/proclines.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool proclines_open(struct proclines *l, const char *path)
{
	long fd = sys2(SYS_open, path, O_RDONLY | O_CLOEXEC);

	l->fd = sys_failed(fd) ? -1 : (int)fd;
	l->pos = l->len = 0;
	return l->fd >= 0;
}

void proclines_close(struct proclines *l)
{
	if (l->fd >= 0)
		sys1(SYS_close, l->fd);
	l->fd = -1;
}

static bool fill(struct proclines *l)
{
	long n;

	memmove(l->buf, l->buf + l->pos, l->len - l->pos);
	l->len -= l->pos;
	l->pos = 0;
	if (l->len == sizeof(l->buf) - 1)
		return false;
	do
		n = sys3(SYS_read, l->fd, l->buf + l->len,
			sizeof(l->buf) - 1 - l->len);
	while (n == -EINTR);
	if (sys_failed(n) || n == 0)
		return false;
	l->len += (unsigned)n;
	return true;
}

char *proclines_next(struct proclines *l)
{
	if (l->fd < 0)
		return NULL;
	for (;;) {
		char *start = l->buf + l->pos;
		char *end = memchr(start, '\n', l->len - l->pos);

		if (end) {
			l->pos = (unsigned)(end + 1 - l->buf);
			*end = '\0';
			return start;
		}
		if (fill(l))
			continue;
		if (l->pos == l->len)
			return NULL;
		start = l->buf + l->pos;
		l->buf[l->len] = '\0';
		l->pos = l->len;
		return start;
	}
}
