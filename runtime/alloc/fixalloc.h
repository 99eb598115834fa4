/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_FIXALLOC_H
#define GOSTAT_ALLOC_FIXALLOC_H

#include "base/lock.h"
#include "os/sysmem.h"

/*
 * fixalloc: objects of one size, outside the heap (Go's fixalloc). Memory is
 * never given back; freed objects are reused last in, first out.
 *
 * The caller serialises calls (mheap.lock for span descriptors). inuse counts
 * bytes of objects that are out; a snapshot may read it at any time.
 */
struct fixalloc {
	size_t size;
	enum syskind kind;
	void *free;   /* linked through the first word */
	char *chunk;  /* unused rest of the newest chunk */
	size_t room;  /* bytes of it */
	uint64_t inuse;
};

/* A zeroed object, or NULL when the kernel refuses. */
void *fixalloc_alloc(struct fixalloc *f);
void fixalloc_free(struct fixalloc *f, void *p);

#endif
