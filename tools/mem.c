/* SPDX-License-Identifier: MIT */
/*
 * mem: allocation that succeeds, and buffers that grow.
 *
 * A tool that has run out of memory has nothing better to do than to say so;
 * no caller checks for NULL. The tool allocates with libc's malloc.
 */
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATUS_INTERNAL = 4, READ_CHUNK = 65536 };

static NORETURN void out_of_memory(void)
{
	fputs("gostat: memory: there is none left\n", stderr);
	exit(STATUS_INTERNAL);
}

void *mem_zero(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		out_of_memory();
	return p;
}

void *mem_resize(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_grow(void *p, size_t n, size_t size)
{
	/* Full at 0 and at every power of two from 4. */
	if (n == 0)
		return mem_resize(p, 4, size);
	if (n >= 4 && !(n & (n - 1)))
		return mem_resize(p, 2 * n, size);
	return p;
}

char *mem_copy_n(const char *s, size_t n)
{
	char *p = mem_zero(n + 1, 1);

	memcpy(p, s, n);
	return p;
}

char *mem_copy(const char *s)
{
	return mem_copy_n(s, strlen(s));
}

char *mem_printf(const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	if (vasprintf(&s, format, ap) < 0)
		out_of_memory();
	va_end(ap);
	return s;
}

char *buf_room(struct buf *b, size_t n)
{
	if (b->cap - b->len < n + 1 || !b->data) {
		b->cap = MAX(2 * b->cap, b->len + n + 1);
		b->data = mem_resize(b->data, b->cap, 1);
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	memcpy(buf_room(b, n), p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	va_start(ap, format);
	vsnprintf(buf_room(b, (size_t)n), (size_t)n + 1, format, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

bool buf_read_head(struct buf *b, const char *path, size_t max)
{
	int error, fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = MIN(max, (size_t)READ_CHUNK);
	ssize_t n;

	if (fd < 0)
		return false;
	do {
		n = read(fd, buf_room(b, room), MIN(room, max));
		if (n > 0) {
			b->len += (size_t)n;
			max -= (size_t)n;
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	error = errno;
	close(fd);
	b->data[b->len] = '\0';
	errno = error;
	return n == 0;
}

bool buf_read_file(struct buf *b, const char *path)
{
	return buf_read_head(b, path, SIZE_MAX);
}
