/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_ROOTS_PARTS_H
#define GOSTAT_GC_ROOTS_PARTS_H

#include "gc/roots.h"
#include "os/pages.h"
#include "os/procmaps.h"

/*
 * What the files of roots have in common. Who can't go on for lack of memory
 * sets rs->error; the first one stays, and roots_collect() looks at the end.
 */

enum { ROOTS_BUF = 64 << 10 }; /* bytes of rs->buf */

/* -------- rootset.c: adding -------- */

/* Room for one more element; NULL: rs->error is set. */
void *rootset_grow(struct rootset *rs, struct root_vec *v, size_t elem);

uint32_t rootset_add_name(struct rootset *rs, const char *s, size_t n);
void rootset_free_vec(struct root_vec *v);
void rootset_add_word(struct rootset *rs, uintptr_t word, enum root_kind kind,
	int tid, uint32_t name);

/* Joined with the last one where both are of one kind, name and thread. */
void rootset_add_range(struct rootset *rs, uintptr_t lo, uintptr_t hi,
	enum root_kind kind, int tid, uint32_t name);

/* -------- roots_threads.c -------- */

/*
 * A thread's own stack, or (lo == hi) an address in some mapping that a stack
 * pointer is at.
 */
struct root_stack {
	uintptr_t lo, hi;
	uintptr_t from; /* what lies below is dead */
	int tid;
	uint32_t name;
};

struct roots_walk {
	struct rootset *rs;
	struct root_vec stacks; /* struct root_stack, by address, disjoint */
	struct root_vec loose;	/* struct root_stack, by address */
	uintptr_t main_sp[2];	/* of the first thread; 0: none */
	bool main_alive;
	uint32_t main_name;
	bool more;    /* threads may exist, or start, that are not known */
	size_t nlive; /* stacks of threads */
	struct pages pages;
};

/* Registers, thread-local storage; fills stacks and loose. */
void roots_threads(struct roots_walk *k, const struct stw *w);

/* -------- roots_maps.c -------- */

/* Globals, stacks, mappings. False: no /proc. */
bool roots_maps(struct roots_walk *k);

/* [lo, hi) of which the kernel says that it has memory, as ranges. */
void roots_resident(struct roots_walk *k, uintptr_t lo, uintptr_t hi,
	enum pages_which which, enum root_kind kind, int tid, uint32_t name);

/* Is what is mapped at p the library's own? */
bool roots_ours(uintptr_t p);

/* -------- roots_shared.c -------- */

/* List what is shared. False: no /proc. */
bool roots_list_shared(struct rootset *rs);
void roots_freeze_shared(struct rootset *rs);

/* Of a word of which nobody knows what it is: is it worth being kept? */
bool roots_may_be_address(uintptr_t word);

/* -------- roots_libc.c: what is known of libc's data -------- */

struct roots_libc {
	size_t descriptor; /* bytes of a thread descriptor, at %fs */
	size_t static_tls; /* bytes below it */
	const void *ring;  /* NRINGS heads of rings; NULL: not known */
	size_t node;	   /* where a descriptor is linked into one */
	size_t result;	   /* where it has its thread's; 0: not known */
};
extern HIDDEN struct roots_libc roots_libc;

/* fn for every descriptor that libc has in a ring, or in this one. */
enum roots_ring { RING_USED, RING_USER, RING_CACHE, NRINGS };
void roots_rings(
	void (*fn)(uintptr_t tcb, enum roots_ring ring, void *arg), void *arg);
void roots_ring(enum roots_ring ring,
	void (*fn)(uintptr_t tcb, enum roots_ring ring, void *arg), void *arg);

/* A thread descriptor of libc's? It points to itself. */
bool roots_is_tcb(uintptr_t tcb);

/*
 * The block that libc has mapped, or been given, for a thread's stack: guard
 * page, stack, static TLS, descriptor. False: it can't be told.
 */
bool roots_stack_block(uintptr_t tcb, uintptr_t *lo, uintptr_t *hi);

#endif
