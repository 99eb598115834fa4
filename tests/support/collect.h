/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_COLLECT_H
#define GOSTAT_TESTS_COLLECT_H

/* Collect roots as a cycle does, and look for things among them. */

#include "gc/roots_parts.h"
#include "profile/modules.h"
#include "support/run.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

static struct rootset rs;
static struct stw w;

static inline void *map(size_t size, int prot, int flags)
{
	void *p = mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* A page of its own on either side, so that nothing merges with it. */
static inline char *map_alone(size_t size, int flags)
{
	char *p = map(size + ((size_t)256 << 20), PROT_NONE,
		MAP_PRIVATE | MAP_NORESERVE);

	p += (size_t)128 << 20;
	ck_assert_ptr_eq(mmap(p, size, PROT_READ | PROT_WRITE,
				 flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		p);
	return p;
}

/* As a cycle does, in place. */
static inline void collect(void)
{
	bool frozen, collected;

	modules_refresh();
	ck_assert(roots_prepare(&rs));
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	frozen = roots_freeze(&rs, &w);
	collected = roots_collect(&rs, &w);
	stw_start(&w);
	ck_assert(frozen);
	ck_assert_msg(collected, "%s", rs.error);
	rootset_check(&rs);
}

/* Kinds (bits) of the ranges that hold the word at p. */
static inline uint32_t kinds(const void *p)
{
	uintptr_t at = (uintptr_t)p;
	uint32_t found = 0;

	for (size_t i = 0; i < rs.ranges.n; i++) {
		const struct root_range *r = &rootset_ranges(&rs)[i];

		if (at >= r->lo && at < r->hi)
			found |= 1u << r->kind;
	}
	return found;
}

static inline bool has_word(uintptr_t word, enum root_kind kind)
{
	for (size_t i = 0; i < rs.words.n; i++) {
		const struct root_word *r = &rootset_words(&rs)[i];

		if (r->word == word && r->kind == (uint32_t)kind)
			return true;
	}
	return false;
}

struct bytes {
	uintptr_t p; /* to be found; or 0 */
	bool found;
	size_t n;
};

static inline void count_piece(uintptr_t lo, uintptr_t hi, void *arg)
{
	struct bytes *b = arg;

	b->found |= b->p >= lo && b->p < hi;
	b->n += hi - lo;
}

/* Is p in a page of a mapping that would be scanned? */
static inline bool in_piece(const void *p)
{
	struct bytes b = {(uintptr_t)p, false, 0};
	size_t i = rootset_find(&rs, (uintptr_t)p);

	if (i != SIZE_MAX)
		rootset_scan(&rs, i, count_piece, &b);
	return b.found;
}

#endif
