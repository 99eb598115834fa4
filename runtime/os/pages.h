/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_PAGES_H
#define GOSTAT_OS_PAGES_H

#include "base/attrs.h"

/*
 * Which pages have memory, without touching them. A walk:
 *
 *	struct pages p;
 *	uintptr_t a, b;
 *
 *	pages_open(&p);
 *	pages_begin(&p, lo, hi, PAGES_ANY);
 *	while (pages_next(&p, &a, &b))
 *		...		[a, b) has memory; ascending, not adjacent
 *	pages_close(&p);
 *
 * Async-signal-safe, errno untouched, no memory but the struct (4 KiB).
 */
enum pages_which {
	PAGES_ANY, /* in memory or swapped out */
	PAGES_OWN, /* of those, what is no page of a file: written privately */
	PAGES_SMALL, /* of those, what is in no huge page; PAGES_SCAN only */
};

enum pages_how {
	PAGES_SCAN,    /* ioctl PAGEMAP_SCAN (Linux 6.7): holes cost nothing */
	PAGES_PAGEMAP, /* eight bytes a page are read */
	PAGES_MINCORE, /* no /proc: one byte a page; swapped pages are missed */
};

/* As the kernel's struct page_region. */
struct pages_region {
	uint64_t start, end, categories;
};

struct pages {
	int fd; /* of pagemap, or -1 */
	enum pages_how how;
	enum pages_which which;
	uintptr_t at, hi; /* what is still to be asked for */
	uintptr_t base;	  /* of entry[0], vec[0] */
	size_t next, n;	  /* answers left: [next, n) */
	union {
		struct pages_region region[128];
		uint64_t entry[384];
		unsigned char vec[3072];
	} u;
};

/* Never fails: without /proc, mincore() is asked. */
void pages_open(struct pages *p);
void pages_close(struct pages *p);

/* lo and hi are multiples of OS_PAGE, mapped all the way. */
void pages_begin(
	struct pages *p, uintptr_t lo, uintptr_t hi, enum pages_which which);

/*
 * The next run. Where the kernel does not tell, all of it counts (PAGES_ANY), all
 * that mincore() says (PAGES_OWN), or nothing (PAGES_SMALL).
 */
bool pages_next(struct pages *p, uintptr_t *lo, uintptr_t *hi);

#endif
