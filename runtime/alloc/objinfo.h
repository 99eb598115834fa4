/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_OBJINFO_H
#define GOSTAT_ALLOC_OBJINFO_H

#include "alloc/mcache.h"

/*
 * objinfo: objects of which stack and requested size are known. See objinfo.c.
 */

/*
 * Where the stack comes from; set by the profile's glue before a sample rate
 * is. alloc: an object of slot bytes is allocated for a request of size bytes;
 * returns the id to remember (0: none). free: it is gone again.
 * Context: the slow paths of malloc and free, no lock held.
 */
struct objinfo_hooks {
	uint32_t (*alloc)(size_t size, size_t slot);
	void (*free)(uint32_t stack, size_t slot);
};
extern HIDDEN struct objinfo_hooks objinfo_hooks;

/*
 * Keep the stack of every object from now on: spans get room for it. Before
 * the first allocation, or earlier objects stay unknown.
 */
void objinfo_record_all(void);

/*
 * Allocate an object for a sample: its free takes the slow path, which finds
 * it again. r: its record; 0: above MAX_RUN. NULL: no memory.
 */
void *objinfo_malloc_sampled(unsigned r, size_t npages, size_t align,
	size_t size);

/* p, just allocated for a request of size, in record-all mode. */
void objinfo_record(void *p, size_t size);

/* Its object resized in place. */
void objinfo_resized(struct mspan *s, uintptr_t p, size_t size);

/* A sampled object is freed: tell the profile, give it back. */
void objinfo_free_sampled(struct mspan *s, uintptr_t p);

/* What is known of slot i of s, or NULL. stack is 0 if nothing is. */
static inline struct objinfo *objinfo_of(const struct mspan *s, uint32_t i)
{
	return s->info ? &s->info[i] : NULL;
}

/* Bytes that were asked for. */
static inline size_t objinfo_size(const struct mspan *s,
	const struct objinfo *o)
{
	return mspan_elemsize(s) - o->unused;
}

/* mheap: room for a new span; false: no memory. Under mheap.lock. */
bool objinfo_attach(struct mspan *s);
void objinfo_detach(struct mspan *s);

#endif
