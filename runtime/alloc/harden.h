/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_ALLOC_HARDEN_H
#define GOSTAT_ALLOC_HARDEN_H

#include "alloc/mcache.h"
#include "profile/unwind.h"

/*
 * harden: GOSTAT_HARDEN=1, every misuse of an object found. See harden.c.
 *
 * heap.c sends every malloc and free here while mheap.harden is set; the span
 * of an object of ours has sampled set and an info array. What is called with
 * a span has been checked to be given the start of an object.
 */

/*
 * An object of size bytes at a multiple of align (a power of two). NULL: no
 * memory. *regs: where the allocation function was called. Context: mcache_get
 * has been called, no lock held.
 */
void *harden_malloc(struct mcache *mc, const struct unwind_regs *regs,
	size_t align, size_t size);

/* The object at p goes to quarantine. Does not return if it was freed before. */
void harden_free(struct mspan *s, uintptr_t p);

/* Bytes asked for. what: as for mcentral_bad_pointer(), if it was freed. */
size_t harden_size(const char *what, const struct mspan *s, uintptr_t p);

/* free_sized: ends the process if size is not what was asked for. */
void harden_check_size(const struct mspan *s, uintptr_t p, size_t size);

/* Give back what is in quarantine. True: there was something. */
bool harden_flush(void);

/* Look at all that is in quarantine: at the end of the process. */
void harden_check(void);

/*
 * What is in quarantine: neither the program's nor in a span. at() only while
 * the world is stopped; counts at any time.
 */
size_t harden_count(void);
uintptr_t harden_at(size_t i);
uint64_t harden_held(unsigned r);	     /* objects of record r */
void harden_held_huge(uint64_t *n, uint64_t *bytes); /* above MAX_RUN */

/* Around fork, after locks of smaller rank. */
void harden_prefork(void);
void harden_postfork(bool child);

#endif
