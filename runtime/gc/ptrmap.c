/* SPDX-License-Identifier: MIT */
/*
 * ptrmap: open addressing with linear probing. Removing moves later entries of
 * the run back, so there are no tombstones and a search ends at the first gap.
 */
#include "gc/ptrmap.h"
#include "os/sysmem.h"

#include <string.h>

static size_t bytes_of(size_t cap)
{
	return ALIGN_UP(cap * sizeof(struct ptrmap_entry), (size_t)OS_PAGE);
}

static size_t home(const struct ptrmap *m, uintptr_t key)
{
	return (key * 0x9e3779b97f4a7c15ul >> 20) & (m->cap - 1);
}

/* The entry of key, or the gap where it belongs. */
static struct ptrmap_entry *probe(const struct ptrmap *m, uintptr_t key)
{
	for (size_t i = home(m, key);; i = (i + 1) & (m->cap - 1))
		if (m->slot[i].key == key || m->slot[i].key == 0)
			return &m->slot[i];
}

struct ptrmap_entry *ptrmap_find(const struct ptrmap *m, uintptr_t key)
{
	struct ptrmap_entry *e = m->cap && key ? probe(m, key) : NULL;

	return e && e->key ? e : NULL;
}

static bool grow(struct ptrmap *m)
{
	struct ptrmap old = *m;

	m->cap = old.cap ? 2 * old.cap : OS_PAGE / sizeof(struct ptrmap_entry);
	m->slot = sysmem_map(NULL, bytes_of(m->cap), SYS_GC);
	if (!m->slot) {
		*m = old;
		return false;
	}
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i].key)
			*probe(m, old.slot[i].key) = old.slot[i];
	if (old.slot)
		sysmem_unmap(old.slot, bytes_of(old.cap), SYS_GC);
	return true;
}

bool ptrmap_put(struct ptrmap *m, uintptr_t key, uintptr_t value)
{
	struct ptrmap_entry *e = ptrmap_find(m, key);

	if (e) {
		e->value = value;
		return true;
	}
	if (!key || (2 * (m->n + 1) >= m->cap && !grow(m)))
		return false;
	*probe(m, key) = (struct ptrmap_entry){key, value};
	m->n++;
	return true;
}

bool ptrmap_remove(struct ptrmap *m, uintptr_t key)
{
	struct ptrmap_entry *e = ptrmap_find(m, key);
	size_t gap, i;

	if (!e)
		return false;
	gap = (size_t)(e - m->slot);
	for (i = (gap + 1) & (m->cap - 1); m->slot[i].key;
		i = (i + 1) & (m->cap - 1)) {
		size_t from = home(m, m->slot[i].key);

		/* May i's entry move to the gap? Not before its home. */
		if (((i - from) & (m->cap - 1)) < ((i - gap) & (m->cap - 1)))
			continue;
		m->slot[gap] = m->slot[i];
		gap = i;
	}
	m->slot[gap] = (struct ptrmap_entry){0, 0};
	m->n--;
	return true;
}

void ptrmap_free(struct ptrmap *m)
{
	if (m->slot)
		sysmem_unmap(m->slot, bytes_of(m->cap), SYS_GC);
	memset(m, 0, sizeof(*m));
}
