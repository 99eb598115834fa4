/* SPDX-License-Identifier: MIT */
/*
 * procmaps: the kernel's list of mappings, without stdio.
 *
 *	55e0c3a4b000-55e0c3a4d000 r--p 00000000 fd:01 1234    /usr/bin/app
 *	lo           hi           prot offset   dev   inode   path
 *
 * The buffer is a window that slides over the file: parsed lines are dropped
 * from its front, the half line at its end moves there before the next read. A
 * line longer than the buffer gives its fixed part and as much of the path as
 * there is; the rest is skipped.
 *
 * Invariants:
 *   I1  buf[pos, len) is unparsed text, at the start of a line unless skip;
 *   I2  len < size, so a NUL can always be put behind it.
 *
 * A line that does not look as above ends the walk: better no mapping than an
 * invented one.
 *
 * Rejected: one read() of everything (some programs have 60,000 mappings);
 * PROCMAP_QUERY (Linux 6.11; a walk needs a call for each mapping).
 */
#include "os/procmaps.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

bool procmaps_open(struct procmaps *m, char *buf, size_t size)
{
	/* Of self there is nothing left once the first thread has ended. */
	long fd = sys2(
		SYS_open, "/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);

	procmaps_from(m, sys_failed(fd) ? -1 : (int)fd, buf, size);
	return m->fd >= 0;
}

void procmaps_from(struct procmaps *m, int fd, char *buf, size_t size)
{
	*m = (struct procmaps){.fd = fd, .buf = buf, .size = size};
}

void procmaps_close(struct procmaps *m)
{
	if (m->fd >= 0)
		sys1(SYS_close, m->fd);
	m->fd = -1;
}

/* More text behind what is there; false at the end or when full. */
static bool fill(struct procmaps *m)
{
	long n;

	memmove(m->buf, m->buf + m->pos, m->len - m->pos);
	m->len -= m->pos;
	m->pos = 0;
	if (m->len == m->size - 1)
		return false;
	do
		n = sys3(
			SYS_read, m->fd, m->buf + m->len, m->size - 1 - m->len);
	while (n == -EINTR);
	if (sys_failed(n) || n == 0)
		return false;
	m->len += (size_t)n;
	return true;
}

/*
 * The next line, NUL-terminated, or NULL. A last line without its newline is
 * one that the read was cut off in.
 */
static char *line(struct procmaps *m)
{
	for (size_t seen = 0;;) {
		char *start = m->buf + m->pos;
		char *end = memchr(start + seen, '\n', m->len - m->pos - seen);

		if (end) {
			m->pos = (size_t)(end + 1 - m->buf);
			if (!m->skip) {
				*end = '\0';
				return start;
			}
			m->skip = false;
			seen = 0;
			continue;
		}
		if (m->skip)
			m->pos = m->len;
		seen = m->len - m->pos;
		if (fill(m))
			continue;
		if (m->skip || m->len < m->size - 1)
			return NULL;
		m->skip = true;
		m->pos = m->len;
		m->buf[m->len] = '\0';
		return m->buf;
	}
}

/* Hexadecimal digits, then the byte end; NULL if it is not so. */
static const char *hex(const char *s, uint64_t *v, char end)
{
	const char *start = s;

	for (*v = 0;; s++) {
		unsigned digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			digit = (unsigned)(*s - 'a' + 10);
		else
			break;
		*v = *v << 4 | digit;
	}
	return s > start && *s == end ? s + 1 : NULL;
}

static const char *permissions(const char *s, struct procmap *v)
{
	if (strnlen(s, 5) < 5 || s[4] != ' ')
		return NULL;
	v->prot = (uint8_t)((s[0] == 'r' ? PROT_READ : 0) |
			    (s[1] == 'w' ? PROT_WRITE : 0) |
			    (s[2] == 'x' ? PROT_EXEC : 0));
	v->shared = s[3] == 's';
	return s + 5;
}

static const char *decimal(const char *s, uint64_t *v)
{
	const char *start = s;

	for (*v = 0; *s >= '0' && *s <= '9'; s++)
		*v = *v * 10 + (uint64_t)(*s - '0');
	return s > start ? s : NULL;
}

static bool parse(const char *s, struct procmap *v)
{
	uint64_t lo, hi, major, minor;

	if (!(s = hex(s, &lo, '-')) || !(s = hex(s, &hi, ' ')) ||
		!(s = permissions(s, v)) || !(s = hex(s, &v->offset, ' ')) ||
		!(s = hex(s, &major, ':')) || !(s = hex(s, &minor, ' ')) ||
		!(s = decimal(s, &v->inode)))
		return false;
	v->lo = lo;
	v->hi = hi;
	v->major = (uint32_t)major;
	v->minor = (uint32_t)minor;
	v->path = s + strspn(s, " ");
	return true;
}

bool procmaps_next(struct procmaps *m, struct procmap *v)
{
	const char *s = m->fd >= 0 ? line(m) : NULL;

	return s && parse(s, v);
}
