/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_MEM_H
#define GOSTAT_TOOLS_MEM_H

/*
 * Memory of the tool: none left is the end, said in one line (status 4).
 */

#include "base/attrs.h"

void *mem_zero(size_t n, size_t size);
void *mem_resize(void *p, size_t n, size_t size);
char *mem_copy(const char *s);
char *mem_copy_n(const char *s, size_t n);
char *mem_printf(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * Room for one more element behind n of them; the capacity doubles, so it need
 * not be kept: it follows from n. Use as "v = mem_grow(v, n, sizeof(*v))".
 */
void *mem_grow(void *p, size_t n, size_t size);

/* Bytes that come in pieces. data is NUL-terminated behind len. */
struct buf {
	char *data;
	size_t len, cap;
};

void buf_add(struct buf *b, const void *p, size_t n);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* Room for n more bytes behind data + len. */
char *buf_room(struct buf *b, size_t n);
void buf_free(struct buf *b);

/* All of a file, or its first n bytes; false and errno if it can't be read. */
bool buf_read_file(struct buf *b, const char *path);
bool buf_read_head(struct buf *b, const char *path, size_t n);

#endif
