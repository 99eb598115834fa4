/* SPDX-License-Identifier: MIT */
/*
 * roots_shared: memory that a copy of the process does not freeze.
 *
 * What is MAP_SHARED goes on changing under the copy's eyes: a pointer that
 * moves from there to private memory right after the stop would be seen in
 * neither place. So it is read in the pause, and every word that may be an
 * address is put on a list:
 *
 *	prepare   /proc/self/maps: where is something shared?
 *	freeze    pagemap: which pages of it are mapped; read those
 *
 * The list may be out of date by the time of the stop, so the pages are not
 * touched: process_vm_readv() to ourselves fails where a load would fault. It
 * moves 1.5 GB/s, and the world waits; beyond FREEZE_BYTES pages become ranges
 * for the copy to look at while they change, and are counted as not frozen.
 *
 * The same goes for private memory that a copy has not got, or has empty
 * (unforked.c).
 *
 * Devices are left alone (reading a register may do something). The rings of
 * io_uring are memory: an entry keeps its user data until it is used again. What
 * is on its way for longer only the kernel knows, so rings are counted.
 *
 * Rejected: mapping the same memory a second time before the stop (it doesn't
 * freeze, either); MADV_COLLAPSE and the like.
 */
#include "gc/roots_parts.h"
#include "alloc/arena.h"
#include "gc/unforked.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum {
	FREEZE_BYTES = 8 << 20, /* 5 ms */
	LARGE = 1 << 20,	/* comes last */
	/*
	 * The marker asks whether pages of larger ranges have memory, and in
	 * the copy shared ones have not been touched yet.
	 */
	CHUNK = 64 << 10,
};
#define LOW ((uintptr_t)1 << 32) /* below lie numbers, hardly mappings */

static void list_range(struct rootset *rs, uintptr_t lo, uintptr_t hi)
{
	struct gc_range *r;

	if (lo >= hi)
		return;
	r = rootset_grow(rs, &rs->shared, sizeof(*r));
	if (r)
		*r = (struct gc_range){lo, hi};
}

static bool begins(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static bool is_device(const char *path)
{
	return begins(path, "/dev/") && !begins(path, "/dev/shm/") &&
	       !begins(path, "/dev/zero") && !begins(path, "/dev/huge");
}

/*
 * A file on a disk, to be read only: a database, fonts. The program has not
 * written there. (What has no name outside may have a second view that can be
 * written: code that was made at run time.)
 */
static bool is_only_read(const struct procmap *v)
{
	return !(v->prot & PROT_WRITE) && v->path[0] == '/' &&
	       !strstr(v->path, " (deleted)") && !begins(v->path, "/memfd:") &&
	       !begins(v->path, "/dev/shm/") && !begins(v->path, "/dev/zero") &&
	       !begins(v->path, "/SYSV");
}

bool roots_list_shared(struct rootset *rs)
{
	char buf[4096];
	struct procmaps m;
	struct procmap v;

	if (!procmaps_open(&m, buf, sizeof(buf))) {
		rs->error = "cannot read /proc/self/maps";
		return false;
	}
	while (procmaps_next(&m, &v)) {
		if (!(v.prot & PROT_READ) || roots_ours(v.lo))
			continue;
		if (v.shared && !is_device(v.path) && !is_only_read(&v))
			list_range(rs, v.lo, v.hi);
		if (begins(v.path, "anon_inode:[io_uring]"))
			rs->rings++;
	}
	procmaps_close(&m);
	/* Also where there is nothing yet: there may be by the stop. */
	if (!rs->buf)
		rs->buf = sysmem_map(NULL, ROOTS_BUF, SYS_GC);
	if (!rs->buf)
		rs->error = "no memory to freeze roots";
	return !rs->error;
}

bool roots_may_be_address(uintptr_t word)
{
	return word - window_base < window.max_arenas * ARENA_SIZE ||
	       (word >= LOW && word >> 47 == 0);
}

/* Bytes read from lo on; 0: it can't be. */
static size_t read_words(struct rootset *rs, uintptr_t lo, size_t n)
{
	struct iovec to = {rs->buf, n};
	struct iovec from = {(void *)lo, n};
	long got = sys6(
		SYS_process_vm_readv, rs->pid, (long)&to, 1, (long)&from, 1, 0);
	const uintptr_t *word = rs->buf;

	if (got <= 0)
		return 0;
	for (long i = 0; i < got / 8; i++)
		if (roots_may_be_address(word[i]))
			rootset_add_word(rs, word[i], ROOT_SHARED, 0, 0);
	return (size_t)got;
}

static void leave(struct rootset *rs, uintptr_t lo, uintptr_t hi)
{
	struct root_range *r;

	rs->shared_unfrozen += hi - lo;
	for (; lo < hi; lo += CHUNK) {
		r = rootset_grow(rs, &rs->ranges, sizeof(*r));
		if (r)
			*r = (struct root_range){
				lo, MIN(lo + CHUNK, hi), ROOT_SHARED, 0, 0};
	}
}

/* Pages with memory. */
static void freeze(
	struct rootset *rs, uintptr_t lo, uintptr_t hi, size_t *budget)
{
	while (lo < hi) {
		size_t n = MIN(MIN(hi - lo, (size_t)ROOTS_BUF), *budget);
		size_t got = n ? read_words(rs, lo, n) : 0;

		if (!got)
			break;
		*budget -= got;
		lo += got;
	}
	if (lo < hi && !*budget)
		leave(rs, lo, hi);
	/* Else it is gone meanwhile, or can't be read by anybody. */
}

static void freeze_range(struct rootset *rs, struct pages *p, uintptr_t from,
	uintptr_t to, size_t *budget)
{
	uintptr_t lo, hi;

	pages_begin(p, from, to, PAGES_ANY);
	while (pages_next(p, &lo, &hi))
		freeze(rs, lo, hi, budget);
}

static void freeze_shared(
	struct rootset *rs, struct pages *p, bool large, size_t *budget)
{
	const struct gc_range *r = rs->shared.v;

	for (size_t i = 0; i < rs->shared.n; i++)
		if ((r[i].hi - r[i].lo > LARGE) == large)
			freeze_range(rs, p, r[i].lo, r[i].hi, budget);
}

/*
 * What is not copied is asked for now: between the preparations and the stop a
 * program may make such memory and keep pointers in it. What has been unmapped
 * since can't be read, and that is all.
 */
void roots_freeze_shared(struct rootset *rs)
{
	size_t budget = FREEZE_BYTES;
	struct pages p;
	uintptr_t lo, hi;

	/* Of these nothing but their size is known. */
	rs->shared_unfrozen += unforked_unknown;
	if (!rs->shared.n && !unforked_n)
		return;
	pages_open(&p);
	/* One that is too large shall not be in the way of the others. */
	freeze_shared(rs, &p, false, &budget);
	for (uint32_t i = 0; i < unforked_n; i++)
		if (unforked_lost(i, &lo, &hi))
			freeze_range(rs, &p, lo, hi, &budget);
	freeze_shared(rs, &p, true, &budget);
	pages_close(&p);
}
