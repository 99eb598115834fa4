/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_SYSMEM_H
#define GOSTAT_OS_SYSMEM_H

#include "base/attrs.h"

/*
 * The only file that asks the kernel for memory. Every readable byte is
 * accounted to one of the Sys fields of MemStats; reserved (PROT_NONE) address
 * space is not, as in Go.
 */
enum syskind {
	SYS_HEAP,     /* HeapSys */
	SYS_MSPAN,    /* MSpanSys: span descriptors */
	SYS_MCACHE,   /* MCacheSys: per-thread caches */
	SYS_BUCKHASH, /* BuckHashSys: profile tables */
	SYS_GC,	      /* GCSys: page tables, bitmaps, mark bits */
	SYS_OTHER,    /* OtherSys: everything else */
	NSYSKIND
};

/* The kernel's page; ours are PAGE_SIZE (alloc/arena.h). */
enum { OS_PAGE = 4096, HUGE_PAGE = 2 << 20 };

/*
 * Map size bytes, readable, writable and zero. at == NULL: anywhere; else
 * exactly there, or failure when anything else is there already. Returns NULL
 * when the kernel refuses. size is a multiple of OS_PAGE.
 */
void *sysmem_map(void *at, size_t size, enum syskind kind);

/*
 * As above anywhere, but a fork and its parent go on sharing it: what a copy of
 * this process writes there, this process reads.
 */
void *sysmem_map_shared(size_t size, enum syskind kind);

/* Address space only: faults on access. NULL when refused. */
void *sysmem_reserve(size_t size);

/* Make part of a reservation readable and writable. */
bool sysmem_commit(void *p, size_t size, enum syskind kind);

void sysmem_unmap(void *p, size_t size, enum syskind kind);

/* Drop address space that was only reserved. */
void sysmem_unreserve(void *p, size_t size);

/*
 * Give the pages back; they read as zero afterwards. False when the kernel
 * refuses (locked memory, seccomp): then nothing changed.
 */
bool sysmem_release(void *p, size_t size);

/*
 * Pages of ours that can't be touched for a while, or can again; the books don't
 * change. False when the kernel refuses.
 */
bool sysmem_protect(void *p, size_t size, bool access);

/* Ask for huge pages or no longer; advice, ignored in silence when refused. */
void sysmem_hugepage(void *p, size_t size, bool want);

/*
 * Put whole blocks of HUGE_PAGE bytes into huge pages now, copying them. False
 * when the kernel can't (before Linux 6.1) or will not.
 */
bool sysmem_collapse(void *p, size_t size);

/*
 * Have memory behind these pages now, all at once; in silence not, where the
 * kernel can't (before Linux 5.14).
 */
void sysmem_populate(void *p, size_t size);

/*
 * Move the pages of [old, old + size) to new by page table; both ranges are
 * ours and stay mapped, old reads as zero afterwards. False: nothing moved
 * (before Linux 5.7, or refused).
 */
bool sysmem_move(void *old, void *new, size_t size);

/*
 * Is p in memory that all of the above have chosen? So it is not the program's:
 * never a root, whatever is mapped there. (Where our part of the address space
 * is taken, the kernel chooses and this is false.)
 */
bool sysmem_owns(uintptr_t p);

/* Account memory that came by another way (the library's own data). */
void sysmem_count(size_t size, enum syskind kind);

/* Bytes accounted to kind now. */
uint64_t sysmem_sys(enum syskind kind);

/* RLIMIT_AS in bytes, SIZE_MAX if unlimited; and physical memory. */
size_t sysmem_address_limit(void);
size_t sysmem_physical(void);

/*
 * Fault injection for tests: after n more successful requests every further
 * one fails; negative (the default) never.
 */
extern long sysmem_fail_after;

#endif
