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
 * Locks: none, the counters are atomic.
 */
#include "os/sysmem.h"
#include "base/atomics.h"
#include "os/syscall.h"

#include <errno.h>
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

static void *map(void *at, size_t size, int prot, int flags)
{
	long r;

	if (inject())
		return NULL;
	flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	r = sys6(SYS_mmap, (long)at, (long)size, prot, flags, -1, 0);
	return sys_failed(r) ? NULL : (void *)r;
}

void *sysmem_map(void *at, size_t size, enum syskind kind)
{
	void *p = map(at, size, PROT_READ | PROT_WRITE,
		at ? MAP_FIXED_NOREPLACE : 0);

	if (!p)
		return NULL;
	if (at && p != at) { /* before Linux 4.17 the flag is only a hint */
		sys2(SYS_munmap, p, size);
		return NULL;
	}
	add_relaxed(&sys[kind], size);
	return p;
}

void *sysmem_reserve(size_t size)
{
	return map(NULL, size, PROT_NONE, 0);
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
	return !sys_failed(sys3(SYS_madvise, p, size, MADV_DONTNEED));
}

void sysmem_hugepage(void *p, size_t size, bool want)
{
	sys3(SYS_madvise, p, size, want ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
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
