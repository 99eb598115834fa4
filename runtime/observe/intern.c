/* SPDX-License-Identifier: MIT */
/*
 * intern: numbers for byte strings, in order of appearance.
 *
 *	slot[hash & mask] -> id -> entry[id - 1] -> bytes[offset, offset + len)
 *
 * The formats of pprof and of execution traces refer to everything by such
 * numbers and list the things themselves later, in the order of the numbers;
 * so the table is an array first and a hash table second.
 *
 * Invariants, walked by intern_check():
 *   I1  every id is found in exactly one slot, on its probe sequence with no
 *       free slot before it;
 *   I2  at most half of the slots are taken;
 *   I3  a call that returns 0 has added nothing.
 *
 * Locks: none; a table lives as long as one writer's work.
 *
 * Rejected: separate tables for integers and for strings. Addresses as
 * strings of 8 bytes cost 20 bytes more each and save three copies of this.
 */
#include "observe/intern.h"

#include <string.h>

struct intern_entry {
	uint32_t offset, len;
	uint32_t hash;
};

enum { FIRST_SLOTS = 4 * OS_PAGE / sizeof(uint32_t) };

static uint32_t hash(const char *p, size_t len)
{
	const uint64_t odd = 0x9e3779b97f4a7c15; /* 2^64 / golden ratio */
	uint64_t h = len * odd, word;

	for (; len; p += MIN(len, 8ul), len -= MIN(len, 8ul)) {
		word = 0;
		memcpy(&word, p, MIN(len, 8ul));
		h = (h ^ word) * odd;
		h ^= h >> 32;
	}
	return (uint32_t)(h * odd >> 32);
}

static struct intern_entry *entry(const struct intern *t, uint32_t id)
{
	return (struct intern_entry *)t->entry.p + (id - 1);
}

static size_t slots(const struct intern *t)
{
	return t->slot.len / sizeof(uint32_t);
}

static bool same(const struct intern *t, uint32_t id, const void *key,
	size_t len, uint32_t h)
{
	const struct intern_entry *e = entry(t, id);

	return e->hash == h && e->len == len &&
		!memcmp(t->bytes.p + e->offset, key, len);
}

/* Where id stands, or the free slot where it should. */
static uint32_t *probe(const struct intern *t, const void *key, size_t len,
	uint32_t h)
{
	uint32_t *slot = (uint32_t *)t->slot.p;
	size_t mask = slots(t) - 1, i = h & mask;

	while (slot[i] && !same(t, slot[i], key, len, h))
		i = (i + 1) & mask;
	return &slot[i];
}

static bool rehash(struct intern *t)
{
	struct grow old = t->slot;
	size_t n = MAX((size_t)FIRST_SLOTS, slots(t) * 2), len;

	t->slot.p = NULL;
	t->slot.len = t->slot.cap = 0;
	if (!grow_add(&t->slot, n * sizeof(uint32_t))) {
		t->slot = old;
		return false;
	}
	for (uint32_t id = 1; id <= t->n; id++) {
		const char *key = intern_key(t, id, &len);

		*probe(t, key, len, entry(t, id)->hash) = id;
	}
	grow_free(&old);
	return true;
}

uint32_t intern_id(struct intern *t, const void *key, size_t len)
{
	uint32_t h = hash(key, len), *slot;
	struct intern_entry e = {(uint32_t)t->bytes.len, (uint32_t)len, h};
	char *bytes;

	if (slots(t)) {
		slot = probe(t, key, len, h);
		if (*slot)
			return *slot;
	}
	if ((t->n + 1ul) * 2 > slots(t) && !rehash(t))
		return 0;
	if (!grow_room(&t->entry, sizeof(e)))
		return 0;
	bytes = grow_add(&t->bytes, len);
	if (!bytes)
		return 0;
	memcpy(bytes, key, len);
	memcpy(grow_add(&t->entry, sizeof(e)), &e, sizeof(e));
	slot = probe(t, key, len, h);
	return *slot = ++t->n;
}

const char *intern_key(const struct intern *t, uint32_t id, size_t *len)
{
	*len = entry(t, id)->len;
	return t->bytes.p + entry(t, id)->offset;
}

void intern_free(struct intern *t)
{
	grow_free(&t->bytes);
	grow_free(&t->entry);
	grow_free(&t->slot);
	t->n = 0;
}

bool intern_check(const struct intern *t)
{
	size_t taken = 0, len;

	for (size_t i = 0; i < slots(t); i++)
		taken += ((uint32_t *)t->slot.p)[i] != 0;
	for (uint32_t id = 1; id <= t->n; id++) {
		const char *key = intern_key(t, id, &len);

		if (*probe(t, key, len, entry(t, id)->hash) != id)
			return false;
	}
	return taken == t->n && taken * 2 <= slots(t);
}
