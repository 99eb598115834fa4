/* SPDX-License-Identifier: MIT */
/*
 * foreign: pointers that our heap has never given out.
 *
 *	           /proc/self/maps
 *	free(p) --> which mapping? --> stack, code, static data, none: say so,
 *	                |                                             abort
 *	                v
 *	      does a chunk of glibc's malloc begin there?
 *	         |            |                  |
 *	        yes    of another namespace's    no: say so, abort
 *	         v            v
 *	   libc's own free   leave it alone
 *
 * Libc's malloc can have been at work although it is interposed: by way of
 * dlsym() on libc's handle, in a namespace of dlmopen() or an auditor. Such
 * memory reaches our free sooner or later, and must not end the program.
 *
 * A chunk tells by its flags whom it belongs to. One with a mapping of its own
 * or in an arena that names itself can be freed by any copy of libc. One of a
 * main arena lies in the brk heap if it is our namespace's. Otherwise nobody
 * can say which copy of libc it belongs to, and a leak is better than damage.
 *
 * Nothing is read before the kernel has said that it is readable; the header
 * is believed only if all that follows from it holds.
 *
 * Cost: some 50 microseconds a pointer. It is paid by those who mix heaps.
 * A process that has entered a sandbox can't open files: there, libc decides.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"
#include "base/fatal.h"
#include "os/procmaps.h"
#include "os/sandbox.h"
#include "os/sysmem.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

/* glibc's malloc_chunk; the object begins behind it. */
struct chunk {
	size_t prev_size; /* of a mapped chunk: bytes in front of it */
	size_t size;	  /* and three flags */
};

enum {
	PREV_INUSE = 1,
	IS_MMAPPED = 2,
	NON_MAIN_ARENA = 4,
	FLAGS = 7,
	CHUNK_MIN = 32,
};

/* glibc's heap_info, at the start of each heap of a further arena. */
struct arena_heap {
	void *arena;
	struct arena_heap *prev;
	size_t size;
	size_t committed;
};
#define ARENA_HEAP_MAX ((uintptr_t)64 << 20)

/* The mapping of an address. */
struct place {
	uintptr_t lo, hi;
	bool read, exec, shared;
	char name[160];	  /* of the file, the kernel's word in [], or "" */
	char module[160]; /* the file; also of memory right behind it (bss) */
};

static void (*libc_free)(void *p);

void foreign_init(void)
{
	/* By version: that of another allocator on the way has none. */
	libc_free = (void (*)(void *))dlvsym(RTLD_NEXT, "free", "GLIBC_2.2.5");
}

static void copy(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

/* The next mapping; where tells of the one before. */
static void note(struct place *where, const struct procmap *v)
{
	bool bss = !v->path[0] && v->lo == where->hi;

	where->lo = v->lo;
	where->hi = v->hi;
	where->read = v->prot & PROT_READ;
	where->exec = v->prot & PROT_EXEC;
	where->shared = v->shared;
	copy(where->name, v->path, sizeof(where->name));
	if (v->path[0] == '/')
		copy(where->module, v->path, sizeof(where->module));
	else if (!bss)
		where->module[0] = '\0';
}

/* Where p lies; place.hi is 0 if in no mapping. False: no maps to read. */
static bool find(struct place *where, uintptr_t p)
{
	char buf[4096];
	struct procmaps maps;
	struct procmap v;
	bool there;

	memset(where, 0, sizeof(*where));
	there = procmaps_open(&maps, buf, sizeof(buf));
	while (procmaps_next(&maps, &v)) {
		if (v.lo > p)
			break;
		note(where, &v);
		if (v.hi > p)
			break;
	}
	procmaps_close(&maps);
	if (p >= where->hi)
		where->hi = 0;
	return there;
}

/* Whose is the chunk in front of p? Everything read lies in [lo, hi). */
enum owner { NOBODY, LIBC, SOME_LIBC };

static bool mapped_chunk(const struct place *where, uintptr_t at,
	const struct chunk *c, size_t size)
{
	uintptr_t base = at - c->prev_size;

	return base <= at && base >= where->lo && base % OS_PAGE == 0 &&
	       (c->prev_size + size) % OS_PAGE == 0 && size <= where->hi - at;
}

static bool arena_chunk(const struct place *where, uintptr_t at, size_t size)
{
	uintptr_t base = ALIGN_DOWN(at, ARENA_HEAP_MAX);
	const struct arena_heap *h = (const void *)base;

	return base >= where->lo && at - base >= sizeof(*h) && h->arena &&
	       (uintptr_t)h->arena % sizeof(void *) == 0 &&
	       h->size <= ARENA_HEAP_MAX && h->committed <= ARENA_HEAP_MAX &&
	       size <= where->hi - at && at - base + size <= h->size;
}

/* The next chunk says that this one is in use. */
static bool main_chunk(const struct place *where, uintptr_t at, size_t size)
{
	const struct chunk *next = (const void *)(at + size);

	return size <= where->hi - at &&
	       where->hi - at - size >= sizeof(*next) &&
	       next->size & PREV_INUSE;
}

static enum owner chunk_owner(const struct place *where, uintptr_t p)
{
	uintptr_t at = p - sizeof(struct chunk);
	const struct chunk *c = (const void *)at;
	size_t size;

	if (p % 16 || !where->read || at < where->lo ||
		(where->name[0] && strcmp(where->name, "[heap]")))
		return NOBODY;
	size = c->size & ~(size_t)FLAGS;
	if (size < CHUNK_MIN || size % 16)
		return NOBODY;
	if (c->size & IS_MMAPPED)
		return mapped_chunk(where, at, c, size) ? LIBC : NOBODY;
	if (c->size & NON_MAIN_ARENA)
		return arena_chunk(where, at, size) ? LIBC : NOBODY;
	if (!main_chunk(where, at, size))
		return NOBODY;
	return where->name[0] ? LIBC : SOME_LIBC;
}

static size_t chunk_usable(uintptr_t p)
{
	const struct chunk *c = (const void *)(p - sizeof(*c));
	size_t size = c->size & ~(size_t)FLAGS;

	/* The next chunk's first word is this one's, unless it is alone. */
	return size - (c->size & IS_MMAPPED ? sizeof(*c) : sizeof(size_t));
}

/* Last words on a pointer that is no address at all, or in no mapping. */
static void not_mapped(const char *what, void *v, const struct place *where)
{
	uintptr_t p = (uintptr_t)v;

	if (p < 64 * KIB)
		fatal("%s of %p: a small number, not a pointer", what, v);
	if (p >> 47)
		fatal("%s of %p: not an address", what, v);
	if (!where->hi)
		fatal("%s of %p: never allocated, nothing is mapped there",
			what, v);
}

NORETURN static void never_allocated(
	const char *what, void *v, const struct place *where)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	not_mapped(what, v, where);
	if (!strcmp(where->name, "[stack]") ||
		(sp >= where->lo && sp < where->hi))
		fatal("%s of %p: points into the stack", what, v);
	if (where->shared && where->name[0])
		fatal("%s of %p: points into a shared mapping of %s", what, v,
			where->name);
	if (where->exec)
		fatal("%s of %p: points into the code of %s", what, v,
			where->name[0] ? where->name : "the program");
	if (where->module[0])
		fatal("%s of %p: points into static data of %s", what, v,
			where->module);
	fatal("%s of %p: points into a mapping that malloc did not make", what,
		v);
}

/*
 * Whose p is. If nobody's: NOBODY when what is NULL, else the end of the
 * process. Without maps libc has to know.
 */
static enum owner owner_of(const char *what, const void *ptr)
{
	uintptr_t p = (uintptr_t)ptr;
	struct place where;
	enum owner owner;

	if (sandboxed || !find(&where, p))
		return LIBC;
	owner = where.hi ? chunk_owner(&where, p) : NOBODY;
	if (owner == NOBODY && what)
		never_allocated(what, (void *)p, &where);
	return owner;
}

void foreign_free(void *p)
{
	if (owner_of("free", p) == LIBC && libc_free)
		libc_free(p);
}

void *foreign_realloc(void *p, size_t size)
{
	enum owner owner = owner_of("realloc", p);
	void *q = heap_malloc_slow(size);

	if (!q)
		return NULL;
	memcpy(q, p, MIN(chunk_usable((uintptr_t)p), size));
	if (owner == LIBC && libc_free)
		libc_free(p);
	return q;
}

size_t foreign_usable_size(const void *p)
{
	return owner_of(NULL, p) == NOBODY ? 0 : chunk_usable((uintptr_t)p);
}
