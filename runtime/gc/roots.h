/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_ROOTS_H
#define GOSTAT_GC_ROOTS_H

#include "gc/range.h"
#include "gc/stw.h"

/*
 * roots: where marking starts.
 *
 *	roots_prepare(rs)	before the stop: slow questions to the kernel
 *	stw_stop(w)
 *	roots_freeze(rs, w)	in the pause: what a copy would not freeze
 *	snapshot_take() ...
 *	roots_collect(rs, w)	in the copy (or in place): everything else
 *
 * All memory of a rootset is our own (sysmem, SYS_GC), never a root itself.
 */
enum root_kind {
	ROOT_REGISTERS,
	ROOT_STACK,
	ROOT_TLS,	 /* static TLS and thread descriptor */
	ROOT_GLOBALS,	 /* data and bss of a module; the brk heap */
	ROOT_SHARED,	 /* words found in shared memory during the pause */
	ROOT_KERNEL,	 /* values that the kernel holds: epoll, timers, ... */
	ROOT_REGISTERED, /* gostat_add_roots() */
	ROOT_MAPPING,	 /* anonymous mapping: an object, see below */
	NROOTKIND
};

/* Aligned to words, readable, resident as far as the kernel tells. */
struct root_range {
	uintptr_t lo, hi;
	uint32_t kind;
	int32_t tid;   /* of the thread, for registers, stacks, TLS; else 0 */
	uint32_t name; /* rootset_name() */
};

/* A single value, whatever it points to (or not). */
struct root_word {
	uintptr_t word;
	uint32_t kind;
	int32_t tid;
	uint32_t name;
};

/*
 * A run of adjacent private anonymous mappings that is nobody's stack and not
 * ours. It is no root: it is live when something live points into [lo, hi), and
 * then its resident pages are scanned. Sorted by address, no overlaps.
 */
struct root_mapping {
	uintptr_t lo, hi;
	uint32_t first, npieces; /* its writable parts in pieces[] */
	uint32_t name;
};

/* A growing array with a mapping of its own. */
struct root_vec {
	void *v;
	size_t n;   /* elements */
	size_t cap; /* bytes mapped */
};

struct rootset {
	struct root_vec ranges;	  /* struct root_range */
	struct root_vec words;	  /* struct root_word */
	struct root_vec mappings; /* struct root_mapping, by address */
	struct root_vec pieces;	  /* struct gc_range, by address, disjoint */
	struct root_vec code;	  /* struct gc_range: pieces with machine code */
	struct root_vec names;	  /* chars; offset 0 is "" */
	struct root_vec shared;	  /* struct gc_range: to scan in the pause */
	const char *error;	  /* why roots_collect() failed, or NULL */
	int pid;		  /* of the program: a copy has another one */
	uintptr_t self_alt; /* alternate signal stack of who stops the world */
	void *buf;	    /* to read shared memory */
	/*
	 * What the result does not vouch for; all 0 when it is complete.
	 * Reclaiming on an incomplete rootset would free live memory.
	 */
	unsigned unstopped;	  /* threads that were not at rest */
	unsigned noregs;	  /* threads whose registers are unknown */
	uint64_t shared_unfrozen; /* bytes of shared memory not looked at */
	unsigned rings;		  /* mappings of io_uring (kernelptr.c) */
};

/*
 * Ask for what takes long: shared mappings, kernel-held pointers. Empties the
 * rootset first. False: no memory, or no /proc.
 */
bool roots_prepare(struct rootset *rs);

/* Scan what the copy would not see frozen. World stopped, in its process. */
bool roots_freeze(struct rootset *rs, const struct stw *w);

/*
 * Find everything. World stopped, or in the copy, where w and rs are frozen
 * with all else. False: error is set.
 */
bool roots_collect(struct rootset *rs, const struct stw *w);

/* Give the memory back. */
void roots_free(struct rootset *rs);

static inline const struct root_range *rootset_ranges(const struct rootset *rs)
{
	return rs->ranges.v;
}

static inline const struct root_word *rootset_words(const struct rootset *rs)
{
	return rs->words.v;
}

static inline const struct root_mapping *rootset_mappings(
	const struct rootset *rs)
{
	return rs->mappings.v;
}

/*
 * Does the piece that begins at lo hold machine code? A compiler in the process
 * puts pointers into instructions, at any address.
 */
bool rootset_is_code(const struct rootset *rs, uintptr_t lo);

/* Index of the mapping that holds address p, or SIZE_MAX. */
size_t rootset_find(const struct rootset *rs, uintptr_t p);

/*
 * Call fn for each resident run of words in mapping i, in order of addresses.
 * A terabyte without pages costs nothing. Any number of threads at a time.
 */
void rootset_scan(const struct rootset *rs, size_t i,
	void (*fn)(uintptr_t lo, uintptr_t hi, void *arg), void *arg);

/* For tests: aborts where the tables are not as described in rootset.c. */
void rootset_check(const struct rootset *rs);

/* Name of a range, word or mapping: "libfoo.so", "thread 12", "epoll 5:7". */
const char *rootset_name(const struct rootset *rs, uint32_t name);

const char *root_kind_name(enum root_kind kind);

/*
 * gostat_add_roots(), gostat_remove_roots(): memory that holds pointers and is
 * not found otherwise. Same range twice counts twice. 0, or an errno value:
 * EINVAL (lo > hi), ENOMEM; removing: ENOENT (never added).
 */
int roots_register(uintptr_t lo, uintptr_t hi);
int roots_unregister(uintptr_t lo, uintptr_t hi);

/*
 * Before the program runs: learn how libc lays out a thread's memory. Context:
 * start-up, dlsym() may be called.
 */
void roots_init(void);

/*
 * At the same time, and only where cycles are to be expected, for it opens a
 * file: remember what the loader has mapped, before the kernel merges memory of
 * the program with it. Without it the loader's pages are a mapping like others:
 * an object, reached from the loader's globals.
 */
void roots_note_loader(void);

/*
 * The library's own data, which is no root: [lo, hi) of its module. Unit tests
 * leave it unset, their globals are the program's.
 */
void roots_set_self(uintptr_t lo, uintptr_t hi);

#endif
