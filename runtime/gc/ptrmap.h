/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_PTRMAP_H
#define GOSTAT_GC_PTRMAP_H

#include "base/attrs.h"

/*
 * ptrmap: a small hash table from addresses to words, in memory of our own
 * (SYS_GC). Start with {0}. The caller serialises.
 */
struct ptrmap_entry {
	uintptr_t key; /* 0: empty */
	uintptr_t value;
};

struct ptrmap {
	struct ptrmap_entry *slot;
	size_t n, cap; /* cap: a power of two, n < cap / 2 */
};

/* The entry of key, or NULL. */
struct ptrmap_entry *ptrmap_find(const struct ptrmap *m, uintptr_t key);

/* Enter key, or change its value. False: no memory, nothing changed. */
bool ptrmap_put(struct ptrmap *m, uintptr_t key, uintptr_t value);

/* False: it was not there. */
bool ptrmap_remove(struct ptrmap *m, uintptr_t key);

void ptrmap_free(struct ptrmap *m);

/* For loops over slot[0..cap): is this one in use? */
static inline bool ptrmap_used(const struct ptrmap_entry *e)
{
	return e->key != 0;
}

#endif
