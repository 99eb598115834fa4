/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_FIXALLOC_H
#define GOSTAT_ALLOC_FIXALLOC_H

#include "os/sysmem.h"

/*
 * fixalloc: objects of one size, outside the heap (Go's fixalloc).
 *
 * The caller serialises calls (mheap.lock for span descriptors). inuse counts
 * bytes of objects that are out; a snapshot may read it at any time.
 */
struct fixalloc {
	size_t size; /* of an object: at most a few hundred bytes */
	enum syskind kind;
	uint64_t inuse;
	struct fixchunk *partial; /* chunks with room, linked both ways */
	struct fixchunk *empty;	  /* chunks without an object or memory */
	char *region, *region_end; /* chunks that were never used */
	char *heads, *heads_end;   /* room for heads of chunks */
};

/* A zeroed object, or NULL when the kernel refuses. */
void *fixalloc_alloc(struct fixalloc *f);
void fixalloc_free(struct fixalloc *f, void *p);

#endif
