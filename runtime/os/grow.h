/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_GROW_H
#define GOSTAT_OS_GROW_H

#include "base/fmt.h"
#include "os/sysmem.h"

/*
 * A growing block of bytes with a mapping of its own. Start with
 * GROW_INIT(limit); p moves when it grows, so keep offsets, not pointers.
 * Context: anywhere, signal handlers included; one user at a time.
 */
struct grow {
	char *p;
	size_t len, cap;
	size_t limit; /* cap never exceeds this; multiple of OS_PAGE */
};

#define GROW_INIT(limit_) {.limit = (limit_)}

/*
 * Make room for more bytes behind len. False when the limit or the kernel
 * says no; nothing has changed then.
 */
bool grow_room(struct grow *g, size_t more);

/*
 * Append n bytes and return where they start; NULL as above. They are zero as
 * long as nobody has lowered len.
 */
void *grow_add(struct grow *g, size_t n);

/* Give everything back; g may be used again. */
void grow_free(struct grow *g);

/*
 * Let f print into g, behind what is there. g->len is up to date after
 * grow_fmt_end(), which returns false if something had to be dropped.
 */
void grow_fmt(struct grow *g, struct fmt *f);
bool grow_fmt_end(struct grow *g, const struct fmt *f);

#endif
