/* SPDX-License-Identifier: MIT */
/*
 * frametab: see the header.
 *
 *	of    [ frame 0 | frame 1 | ... ]	in the order they were seen
 *	slot  [ 0 | 2 | 0 | 1 | ... ]		open addressing, half full
 *
 * 262,144 stacks of 22 frames have 5.8 million frames, but are made of forty.
 * Written once each they make a report of 30 MB where it had 970.
 *
 * A pc is not enough to tell frames apart: where a module was unloaded another
 * one may have come. Names are kept as long as the table is, so that two frames
 * are the same when their pointers are.
 */
#include "gc/frametab.h"
#include "os/sysmem.h"

#include <string.h>

enum { FIRST = 1024 };

static size_t of_bytes(size_t cap)
{
	return ALIGN_UP(cap * sizeof(struct leak_frame), (size_t)OS_PAGE);
}

static size_t slot_bytes(size_t cap)
{
	return ALIGN_UP(2 * cap * sizeof(uint32_t), (size_t)OS_PAGE);
}

static bool same(const struct leak_frame *a, const struct leak_frame *b)
{
	return a->pc == b->pc && a->module == b->module &&
		a->function == b->function;
}

static uint32_t *find(const struct frametab *t, const struct leak_frame *f)
{
	size_t mask = 2 * t->cap - 1;
	size_t i = f->pc * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	for (;; i++) {
		uint32_t *s = &t->slot[i & mask];

		if (*s == 0 || same(&t->of[*s - 1], f))
			return s;
	}
}

static bool grow(struct frametab *t)
{
	struct frametab new = {.n = t->n, .cap = t->cap ? 2 * t->cap : FIRST};

	new.of = sysmem_map(NULL, of_bytes(new.cap), SYS_GC);
	if (!new.of)
		return false;
	new.slot = sysmem_map(NULL, slot_bytes(new.cap), SYS_GC);
	if (!new.slot) {
		sysmem_unmap(new.of, of_bytes(new.cap), SYS_GC);
		return false;
	}
	if (t->n)
		memcpy(new.of, t->of, t->n * sizeof(*t->of));
	for (size_t i = 0; i < t->n; i++)
		*find(&new, &t->of[i]) = (uint32_t)i + 1;
	frametab_free(t);
	*t = new;
	return true;
}

uint32_t frametab_number(struct frametab *t, const struct leak_frame *f)
{
	uint32_t *s;

	if (t->n == t->cap && !grow(t))
		return FRAMETAB_FULL;
	s = find(t, f);
	if (*s == 0) {
		t->of[t->n++] = *f;
		*s = (uint32_t)t->n;
	}
	return *s - 1;
}

void frametab_free(struct frametab *t)
{
	if (t->of)
		sysmem_unmap(t->of, of_bytes(t->cap), SYS_GC);
	if (t->slot)
		sysmem_unmap(t->slot, slot_bytes(t->cap), SYS_GC);
	memset(t, 0, sizeof(*t));
}
