/* SPDX-License-Identifier: MIT */
/*
 * rootset: the tables that roots.c and its parts fill and the marker reads.
 *
 *	ranges    to be scanned word by word
 *	words     single values: registers, what the kernel holds
 *	mappings  by address, each with its run of
 *	pieces    the pages of it that have memory
 *	code      what of them can be executed
 *	names     text, "\0main\0libc.so.6\0thread 12\0"
 *
 * They are made in a copy of the process, or with the world stopped, so they
 * can't come from the heap: each is a mapping of its own that doubles.
 *
 * Invariants, walked by rootset_check():
 *   I1  mappings ascend and do not overlap; so do the pieces of all of them;
 *   I2  a mapping has a piece, and each of its pieces lies inside of it;
 *   I3  ranges are made of whole words and are not empty.
 */
#include "gc/roots_parts.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

enum { FIRST = 4 * OS_PAGE };

/* Room for n more bytes behind used ones. */
static bool room(struct root_vec *v, size_t used, size_t n)
{
	size_t cap = MAX(v->cap * 2, (size_t)FIRST);
	void *p;

	if (used + n <= v->cap)
		return true;
	while (cap < used + n)
		cap *= 2;
	p = sysmem_map(NULL, cap, SYS_GC);
	if (!p)
		return false;
	if (v->v) {
		memcpy(p, v->v, used);
		sysmem_unmap(v->v, v->cap, SYS_GC);
	}
	v->v = p;
	v->cap = cap;
	return true;
}

void *rootset_grow(struct rootset *rs, struct root_vec *v, size_t elem)
{
	if (!room(v, v->n * elem, elem)) {
		if (!rs->error)
			rs->error = "no memory for the list of roots";
		return NULL;
	}
	return (char *)v->v + v->n++ * elem;
}

void rootset_free_vec(struct root_vec *v)
{
	if (v->v)
		sysmem_unmap(v->v, v->cap, SYS_GC);
	*v = (struct root_vec){NULL, 0, 0};
}

/* -------- adding -------- */

uint32_t rootset_add_name(struct rootset *rs, const char *s, size_t n)
{
	struct root_vec *v = &rs->names;
	size_t at = MAX(v->n, (size_t)1);
	char *p;

	/* Without a name, a root is a root. */
	if (n == 0 || !room(v, at, n + 1))
		return 0;
	p = v->v;
	memcpy(p + at, s, n);
	p[0] = p[at + n] = '\0';
	v->n = at + n + 1;
	return (uint32_t)at;
}

void rootset_add_word(struct rootset *rs, uintptr_t word, enum root_kind kind,
	int tid, uint32_t name)
{
	struct root_word *w;

	if (word < OS_PAGE)
		return;
	w = rootset_grow(rs, &rs->words, sizeof(*w));
	if (w)
		*w = (struct root_word){word, kind, tid, name};
}

void rootset_add_range(struct rootset *rs, uintptr_t lo, uintptr_t hi,
	enum root_kind kind, int tid, uint32_t name)
{
	struct root_range *r = rs->ranges.v;

	lo = ALIGN_UP(lo, sizeof(uintptr_t));
	hi = ALIGN_DOWN(hi, sizeof(uintptr_t));
	if (lo >= hi)
		return;
	if (rs->ranges.n) {
		r += rs->ranges.n - 1;
		if (r->hi == lo && r->kind == kind && r->tid == tid &&
			r->name == name) {
			r->hi = hi;
			return;
		}
	}
	r = rootset_grow(rs, &rs->ranges, sizeof(*r));
	if (r)
		*r = (struct root_range){lo, hi, kind, tid, name};
}

/* -------- reading -------- */

size_t rootset_find(const struct rootset *rs, uintptr_t p)
{
	const struct root_mapping *m = rootset_mappings(rs);
	size_t lo = 0, hi = rs->mappings.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p < m[mid].lo)
			hi = mid;
		else if (p >= m[mid].hi)
			lo = mid + 1;
		else
			return mid;
	}
	return SIZE_MAX;
}

bool rootset_is_code(const struct rootset *rs, uintptr_t p)
{
	const struct gc_range *c = rs->code.v;
	size_t lo = 0, hi = rs->code.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p < c[mid].lo)
			hi = mid;
		else if (p >= c[mid].hi)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

void rootset_scan(const struct rootset *rs, size_t i,
	void (*fn)(uintptr_t lo, uintptr_t hi, void *arg), void *arg)
{
	const struct root_mapping *m = rootset_mappings(rs) + i;
	const struct gc_range *piece = rs->pieces.v;

	for (uint32_t k = m->first; k < m->first + m->npieces; k++)
		fn(piece[k].lo, piece[k].hi, arg);
}

const char *rootset_name(const struct rootset *rs, uint32_t name)
{
	return name < rs->names.n ? (const char *)rs->names.v + name : "";
}

const char *root_kind_name(enum root_kind kind)
{
	static const char *const name[NROOTKIND] = {
		[ROOT_REGISTERS] = "register",
		[ROOT_STACK] = "stack",
		[ROOT_TLS] = "thread-local storage",
		[ROOT_GLOBALS] = "global",
		[ROOT_SHARED] = "shared memory",
		[ROOT_KERNEL] = "kernel",
		[ROOT_REGISTERED] = "registered root",
		[ROOT_MAPPING] = "mapping",
	};

	return kind < NROOTKIND ? name[kind] : "";
}

void roots_free(struct rootset *rs)
{
	struct root_vec *const vec[] = {&rs->ranges, &rs->words, &rs->mappings,
		&rs->pieces, &rs->code, &rs->names, &rs->shared};

	for (size_t i = 0; i < NELEM(vec); i++)
		rootset_free_vec(vec[i]);
	if (rs->buf)
		sysmem_unmap(rs->buf, ROOTS_BUF, SYS_GC);
	rs->buf = NULL;
}

void rootset_check(const struct rootset *rs)
{
	const struct root_mapping *m = rootset_mappings(rs);
	const struct root_range *r = rootset_ranges(rs);
	const struct gc_range *piece = rs->pieces.v;
	uintptr_t last = 0;
	size_t next = 0;

	for (size_t i = 0; i < rs->mappings.n; i++) {
		INVARIANT(last <= m[i].lo && m[i].lo < m[i].hi);
		INVARIANT(m[i].first == next && m[i].npieces > 0);
		last = m[i].lo;
		for (; next < m[i].first + m[i].npieces; next++) {
			INVARIANT(last <= piece[next].lo);
			INVARIANT(piece[next].lo < piece[next].hi);
			last = piece[next].hi;
		}
		INVARIANT(last <= m[i].hi);
		last = m[i].hi;
	}
	INVARIANT(next == rs->pieces.n);
	for (size_t i = 0; i < rs->ranges.n; i++) {
		INVARIANT(r[i].lo < r[i].hi && r[i].kind < ROOT_MAPPING);
		INVARIANT((r[i].lo | r[i].hi) % sizeof(uintptr_t) == 0);
	}
}
