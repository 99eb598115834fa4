/* SPDX-License-Identifier: MIT */
/*
 * roots: everything from where the program can get at an object.
 *
 *	roots_threads.c   registers, TLS; where stacks lie
 *	roots_maps.c      stacks, globals; anonymous mappings
 *	roots_shared.c    shared memory, read in the pause
 *	roots_libc.c      what must be known of libc
 *	rootset.c         the tables that all of them fill
 *
 * What is called from roots_collect() runs in a copy of the process: libc's
 * locks may be held for ever, the heap's too, threads are not there. It makes
 * system calls and reads memory. A page that can't be read is the business of
 * guard.c.
 *
 * Registered ranges are a list under gctables' lock, which a cycle holds over
 * the stop: so the copy sees whole entries.
 */
#include "gc/roots.h"
#include "gc/gctables.h"
#include "gc/kernelptr.h"
#include "gc/roots_parts.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <errno.h>
#include <signal.h>

#define USER_END (((uintptr_t)1 << 47) - OS_PAGE)

struct registered {
	struct gc_range range;
	uint64_t times;
};

/* Under gctables_lock(). */
static struct root_vec registered; /* struct registered */

/* -------- registered ranges -------- */

static struct registered *find(uintptr_t lo, uintptr_t hi)
{
	struct registered *r = registered.v;

	for (size_t i = 0; i < registered.n; i++)
		if (r[i].range.lo == lo && r[i].range.hi == hi)
			return &r[i];
	return NULL;
}

int roots_register(uintptr_t lo, uintptr_t hi)
{
	struct rootset none = {0};
	struct registered *r;

	if (lo > hi)
		return EINVAL;
	gctables_lock();
	r = find(lo, hi);
	if (r) {
		r->times++;
	} else {
		r = rootset_grow(&none, &registered, sizeof(*r));
		if (r)
			*r = (struct registered){{lo, hi}, 1};
	}
	gctables_unlock();
	return r ? 0 : ENOMEM;
}

int roots_unregister(uintptr_t lo, uintptr_t hi)
{
	struct registered *all;
	struct registered *r;

	gctables_lock();
	r = find(lo, hi);
	all = registered.v;
	if (r && --r->times == 0)
		*r = all[--registered.n];
	gctables_unlock();
	return r ? 0 : ENOENT;
}

/* Parts of it may have gone, or never have been there. */
static void add_registered(struct roots_walk *k)
{
	const struct registered *r = registered.v;

	pages_open(&k->pages);
	for (size_t i = 0; i < registered.n; i++)
		roots_resident(k, r[i].range.lo, MIN(r[i].range.hi, USER_END),
			PAGES_ANY, ROOT_REGISTERED, 0, 0);
	pages_close(&k->pages);
}

/* -------- the steps -------- */

static void empty(struct rootset *rs)
{
	rs->ranges.n = rs->words.n = rs->mappings.n = 0;
	rs->pieces.n = rs->code.n = 0;
	rs->names.n = rs->shared.n = 0;
	rs->error = NULL;
	rs->unstopped = rs->noregs = 0;
	rs->shared_unfrozen = 0;
	rs->rings = 0;
	rs->self_alt = 0;
}

bool roots_prepare(struct rootset *rs)
{
	empty(rs);
	rs->pid = (int)sys0(SYS_getpid);
	if (sandboxed) {
		rs->error = "the program has restricted its system calls";
		return false;
	}
	kernelptr_list(rs);
	return roots_list_shared(rs);
}

bool roots_freeze(struct rootset *rs, const struct stw *w UNUSED)
{
	stack_t alt;

	if (!sys_failed(sys2(SYS_sigaltstack, NULL, &alt)) && alt.ss_size)
		rs->self_alt = (uintptr_t)alt.ss_sp;
	kernelptr_freeze(rs);
	roots_freeze_shared(rs);
	return !rs->error;
}

bool roots_collect(struct rootset *rs, const struct stw *w)
{
	struct roots_walk k = {.rs = rs};

	roots_threads(&k, w);
	if (!roots_maps(&k) && !rs->error)
		rs->error = "cannot read /proc/self/maps";
	add_registered(&k);
	rootset_free_vec(&k.stacks);
	rootset_free_vec(&k.loose);
	return !rs->error;
}
