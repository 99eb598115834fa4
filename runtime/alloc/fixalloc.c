/* SPDX-License-Identifier: MIT */
/*
 * fixalloc: see the header. Chunks are 64 KiB: a descriptor is some 100 bytes
 * and describes at least 8 KiB, so one chunk serves 5 MiB of heap; untouched
 * pages of it cost nothing.
 */
#include "alloc/fixalloc.h"
#include "base/atomics.h"

#include <string.h>

enum { CHUNK = 64 << 10 };

void *fixalloc_alloc(struct fixalloc *f)
{
	void *p = f->free;

	if (p) {
		f->free = *(void **)p;
		memset(p, 0, f->size);
	} else {
		if (f->room < f->size) {
			char *c = sysmem_map(NULL, CHUNK, f->kind);

			if (!c)
				return NULL;
			f->chunk = c;
			f->room = CHUNK;
		}
		p = f->chunk;
		f->chunk += f->size;
		f->room -= f->size;
	}
	own_add(&f->inuse, f->size);
	return p;
}

void fixalloc_free(struct fixalloc *f, void *p)
{
	*(void **)p = f->free;
	f->free = p;
	own_add(&f->inuse, -f->size);
}
