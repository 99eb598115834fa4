/* SPDX-License-Identifier: MIT */
/*
 * sysmem: memory from the kernel and back, with the books.
 *
 * States follow Go's mem_linux.go: Reserved (PROT_NONE, costs nothing), Ready
 * (mapped, counted). Go's Prepared has no counterpart: an untouched private
 * mapping costs Linux nothing.
 *
 *	None --reserve--> Reserved --commit--> Ready --release--> Ready, zero
 *	None --map------------------------------^
 *
 * Invariants:
 *   I1  sys[k] is the number of bytes in readable mappings of kind k;
 *   I2  no call here changes errno.
 *
 * MAP_NORESERVE everywhere: under the kernel's default overcommit mode it
 * keeps untouched growth from being refused; in mode 2 the kernel ignores it.
 *
 * What is mapped anywhere goes to an area of the address space where neither
 * the kernel nor other run-times put anything. The collector has to tell our
 * own mappings from the program's, and the kernel merges neighbours into one:
 * so they must never be neighbours. Addresses are given out upwards and are not
 * used again before the end is reached; a terabyte lasts. But some run-times
 * (V8) put every page at a random address, and some of those will be in the
 * area: so ours is only what has been given out, less the gaps that were left
 * because somebody was there.
 *
 * Locks: none, the counters are atomic.
 */
#include "os/sysmem.h"
#include "base/atomics.h"
#include "os/sandbox.h"
#include "os/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

long sysmem_fail_after = -1;

static uint64_t sys[NSYSKIND];

/*
 * Where the area may be, best first; random bits choose the 64 KiB in which it
 * begins. As for the heap (arena.c), from which these keep away.
 */
static const struct place {
	uintptr_t lo, hi;
	unsigned bits;
} places[] = {
	{(uintptr_t)6 << 40, (uintptr_t)8 << 40, 24},
	/* Free under ThreadSanitizer, and in address spaces of 39 bits. */
	{(uintptr_t)96 << 30, (uintptr_t)128 << 30, 18},
	/* Free under AddressSanitizer. */
	{(uintptr_t)40 << 40, (uintptr_t)42 << 40, 24},
	/* None of them: the kernel chooses. */
	{0, 0, 0},
};

enum {
	PLACE_SHIFT = 16,
	TRIES = 8, /* neighbours in the way; then the kernel may choose */
};
/* Somebody is here: how far to go on. Most people reserve less. */
#define STEP ((size_t)1 << 30)

enum { GAPS = 64 };

static struct area {
	const struct place *place; /* NULL: not chosen yet */
	uintptr_t start, next;
	bool full; /* once around: all of the place may be ours */
	uint32_t ngaps; /* may count further: then some are not known */
	struct gap {
		uintptr_t lo, hi;
	} gap[GAPS];
} area;

/* Counts down the injected failures; true when this request must fail. */
static bool inject(void)
{
	long left = load_relaxed(&sysmem_fail_after);

	if (likely(left < 0))
		return false;
	if (left == 0)
		return true;
	store_relaxed(&sysmem_fail_after, left - 1);
	return false;
}

/* mmap; with at, exactly there. NULL and *error when refused. */
static void *map_at(uintptr_t at, size_t size, int prot, int flags, int *error)
{
	long r;

	flags |= MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
	r = sys6(SYS_mmap, (long)at, (long)size, prot, flags, -1, 0);
	*error = sys_failed(r) ? (int)-r : 0;
	if (*error)
		return NULL;
	if (at && (uintptr_t)r != at) {
		/* before Linux 4.17 the flag is only a hint */
		sys2(SYS_munmap, r, size);
		*error = EEXIST;
		return NULL;
	}
	return (void *)r;
}

static uint64_t random_bits(void)
{
	const unsigned char *r = (const void *)getauxval(AT_RANDOM);
	uint64_t bits = 0;

	if (r)
		memcpy(&bits, r + 8, sizeof(bits));
	return bits * 0xd1342543de82ef95;
}

/* The first place that is vacant: sanitizers fill whole terabytes. */
static void choose_place(void)
{
	const struct place *k = places;
	uintptr_t at = 0, none = 0;

	for (; k->hi; k++) {
		int error;
		void *p;

		at = k->lo + (random_bits() >> (64 - k->bits) << PLACE_SHIFT);
		p = map_at(at, OS_PAGE, PROT_NONE, MAP_PRIVATE, &error);
		if (p) {
			sys2(SYS_munmap, p, OS_PAGE);
			break;
		}
	}
	/* Threads that choose at the same time choose the same. */
	store_relaxed(&area.start, at);
	cas_relaxed(&area.next, &none, at);
	/* release [place]: next is set. */
	store_release(&area.place, k);
}

static void note_gap(uintptr_t lo, uintptr_t hi)
{
	uint32_t i = add_relaxed(&area.ngaps, 1);

	if (i < GAPS)
		area.gap[i] = (struct gap){lo, hi};
}

/* Somebody is in [at, at + size). */
static void step_over(uintptr_t at, size_t size)
{
	uintptr_t from = add_relaxed(&area.next, STEP);

	/* What lies between has been given to other threads meanwhile. */
	note_gap(at, at + size);
	note_gap(from, from + STEP);
}

static void *map_anywhere(size_t size, int prot, int flags)
{
	const struct place *k;
	int error;

	if (inject())
		return NULL;
	/* acquire [place]: next is read behind it. */
	if (!load_acquire(&area.place))
		choose_place();
	k = load_relaxed(&area.place);
	for (int i = 0; i < TRIES && k->hi; i++) {
		uintptr_t at = add_relaxed(&area.next, size);
		void *p;

		if (at < k->lo || at > k->hi - size) {
			/* Once around: what is mapped still is in the way. */
			store_relaxed(&area.full, true);
			store_relaxed(&area.next, k->lo);
			continue;
		}
		p = map_at(at, size, prot, flags, &error);
		if (p || error != EEXIST)
			return p;
		step_over(at, size);
	}
	return map_at(0, size, prot, flags, &error);
}

bool sysmem_owns(uintptr_t p)
{
	const struct place *k = load_relaxed(&area.place);
	uintptr_t start = load_relaxed(&area.start);

	if (load_relaxed(&area.full))
		return p - k->lo < k->hi - k->lo;
	if (p - start >= load_relaxed(&area.next) - start)
		return false;
	for (uint32_t i = 0; i < MIN(load_relaxed(&area.ngaps), GAPS); i++)
		if (p - area.gap[i].lo < area.gap[i].hi - area.gap[i].lo)
			return false;
	return true;
}

void *sysmem_map(void *at, size_t size, enum syskind kind)
{
	int prot = PROT_READ | PROT_WRITE, error;
	void *p = NULL;

	if (!at)
		p = map_anywhere(size, prot, MAP_PRIVATE);
	else if (!inject())
		p = map_at((uintptr_t)at, size, prot, MAP_PRIVATE, &error);
	if (p)
		add_relaxed(&sys[kind], size);
	return p;
}

void *sysmem_map_shared(size_t size, enum syskind kind)
{
	void *p = map_anywhere(size, PROT_READ | PROT_WRITE, MAP_SHARED);

	if (p)
		add_relaxed(&sys[kind], size);
	return p;
}

void *sysmem_reserve(size_t size)
{
	return map_anywhere(size, PROT_NONE, MAP_PRIVATE);
}

bool sysmem_commit(void *p, size_t size, enum syskind kind)
{
	if (inject() ||
		sys_failed(sys3(SYS_mprotect, p, size, PROT_READ | PROT_WRITE)))
		return false;
	add_relaxed(&sys[kind], size);
	return true;
}

void sysmem_unmap(void *p, size_t size, enum syskind kind)
{
	if (!sys_failed(sys2(SYS_munmap, p, size)))
		sub_relaxed(&sys[kind], size);
}

void sysmem_unreserve(void *p, size_t size)
{
	sys2(SYS_munmap, p, size);
}

bool sysmem_release(void *p, size_t size)
{
	if (unlikely(sandboxed == SANDBOX_STRICT))
		return false;
	return !sys_failed(sys3(SYS_madvise, p, size, MADV_DONTNEED));
}

bool sysmem_protect(void *p, size_t size, bool access)
{
	if (unlikely(sandboxed == SANDBOX_STRICT))
		return false;
	return !sys_failed(sys3(SYS_mprotect, p, size,
		access ? PROT_READ | PROT_WRITE : PROT_NONE));
}

void sysmem_hugepage(void *p, size_t size, bool want)
{
	if (unlikely(sandboxed == SANDBOX_STRICT))
		return;
	sys3(SYS_madvise, p, size, want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

bool sysmem_collapse(void *p, size_t size)
{
	if (unlikely(sandboxed))
		return false;
	return !sys_failed(sys3(SYS_madvise, p, size, MADV_COLLAPSE));
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void sysmem_populate(void *p, size_t size)
{
	if (likely(!sandboxed))
		sys3(SYS_madvise, p, size, MADV_POPULATE_WRITE);
}

bool sysmem_move(void *old, void *new, size_t size)
{
	long r;

	if (inject())
		return false;
	r = sys6(SYS_mremap, (long)old, (long)size, (long)size,
		MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, (long)new, 0);
	return !sys_failed(r);
}

void sysmem_count(size_t size, enum syskind kind)
{
	add_relaxed(&sys[kind], size);
}

uint64_t sysmem_sys(enum syskind kind)
{
	return load_relaxed(&sys[kind]);
}

size_t sysmem_address_limit(void)
{
	struct rlimit r;

	if (sys_failed(sys2(SYS_getrlimit, RLIMIT_AS, &r)) ||
		r.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return r.rlim_cur;
}

size_t sysmem_physical(void)
{
	struct sysinfo si;

	if (sys_failed(sys1(SYS_sysinfo, &si)))
		return 4 * GIB;
	return (size_t)si.totalram * si.mem_unit;
}
