/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LEAKLIST_H
#define GOSTAT_GC_LEAKLIST_H

#include "gc/leak.h"

/*
 * leaklist: leaked objects, as the snapshot hands them to its parent: spans in
 * order of addresses, with bits and what was known of each object. See
 * leaklist.c for the picture.
 */
struct leaklist {
	char *p;
	size_t len, cap;
	size_t nspans;
	bool truncated; /* there was no room for all */
	size_t *index;	/* the reader's: where each span begins */
};

/* One span with leaked objects. */
struct leak_span {
	uint32_t page;	 /* first; of the heap window */
	uint32_t serial; /* of the span when the world was stopped */
	uint32_t nwords; /* of each of the three rows of bits */
	uint32_t ninfo;	 /* entries: leaked objects when it was written */
	uint64_t elemsize;
	/*
	 * uint64_t leaked[nwords], direct[nwords], suppressed[nwords],
	 * written[nwords]; struct objinfo info[ninfo], by slot of written.
	 */
	uint64_t bits[];
};

enum leak_row { ROW_LEAKED, ROW_DIRECT, ROW_SUPPRESSED, ROW_WRITTEN, NROW };

/* An upper bound for the bytes that leaklist_write() may need, now. */
size_t leaklist_bound(void);

/*
 * Write down what s says of v's objects, into l->p[0..l->cap). s NULL: no
 * classes, everything that has no mark bit is direct (what a reclaiming cycle
 * wants to know).
 */
void leaklist_write(struct leaklist *l, const struct heapview *v,
	const struct leak_sets *s);

/*
 * Before a list is read, and after. False: no memory. Only for the process
 * that reads it.
 */
bool leaklist_open(struct leaklist *l);
void leaklist_close(struct leaklist *l);

static inline struct leak_span *leaklist_span(
	const struct leaklist *l, size_t i)
{
	return (struct leak_span *)(l->p + l->index[i]);
}

/* The record of the span that begins at this page, or NULL. */
struct leak_span *leaklist_find(const struct leaklist *l, size_t page);

/*
 * Strike out what has been freed since. The world may run; leaklist.c says
 * why. Returns how many objects were struck out.
 */
uint64_t leaklist_verify(struct leaklist *l);

/*
 * The part of it that concerns objects of one size class on their way through
 * magazines and batches. The class's lock is held.
 */
void leaklist_verify_class(struct leaklist *l, unsigned sizeclass);

struct leak_object {
	uintptr_t p;
	size_t bytes;	/* asked for where that is known, else of the slot */
	uint32_t stack; /* 0: not known */
	enum leak_kind kind;
};

/* Call fn for every object that is still in the list. */
void leaklist_each(const struct leaklist *l,
	void (*fn)(void *arg, const struct leak_object *o), void *arg);

static inline uint64_t *leak_row(struct leak_span *s, enum leak_row row)
{
	return s->bits + row * s->nwords;
}

#endif
