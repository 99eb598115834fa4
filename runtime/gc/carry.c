/* SPDX-License-Identifier: MIT */
/*
 * carry: threads' stacks, taken into a copy of the process by hand.
 *
 *	program   [ guard | dead ....... | page: sp, frames, TLS, descriptor ]
 *	                                     |
 *	shared    | table | .................v................ |
 *	                                     |
 *	copy         (nothing there)     [ page ............................. ]
 *
 * A thread costs clone two mappings, a table of pages and 3 us for 5 KiB that
 * anybody would want to see. Copying those takes 1 us, and MADV_DONTFORK, there
 * and back, half of one: stacks lie side by side, so that there are few calls.
 * And afterwards the thread, when it runs, finds its pages its own: no fault, no
 * copy of the page, no message to all CPUs to forget where it was.
 *
 * What goes where, roots_threads.c says; this takes what it would look at, and
 * only where that is plain: the thread is at rest, its stack was mapped by libc
 * and its stack pointer is in there. Everything else is left to clone.
 *
 * The buffer is shared memory. Private memory would be copied on the first
 * write of each cycle that follows another one.
 *
 * All of it happens in the pause, so that nobody can unmap a stack in between,
 * or make a child that lacks them.
 *
 * Invariants:
 *   C1  between carry_pack() and carry_done(), and at no other time, the blocks
 *       of v[0..n) are kept from clone;
 *   C2  memory about which the program has given advice (unforked.c), and what
 *       is not libc's, is no block of v.
 *
 * Rejected: to mark with the world stopped instead (the lists of mappings and of
 * pages alone take longer; pause with a heap of 1 MiB in place and with a copy:
 * 0.35 and 0.12 ms, with 16 threads 0.42 and 0.18). Rejected: to fetch whole
 * stacks ahead of their copying (no difference). Rejected: to give the advice
 * when a thread starts, or before the stop (children of a program that forks by
 * itself would lack them). Rejected: to leave the stacks out of the copy and
 * have the roots point to the buffer (thread descriptors are chained through
 * the stacks).
 */
#include "gc/carry.h"
#include "gc/roots_parts.h"
#include "gc/unforked.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <string.h>
#include <sys/mman.h>

enum {
	MORE = 32,	    /* threads that may start until the stop */
	MOST = 1 << 14,	    /* threads: 128 MiB of room */
	EACH = 8 << 10,	    /* bytes for a thread, on average */
	LARGE = 256 << 10,  /* deeper stacks are left to clone */
	FEW = 16 * EACH,    /* and so much for all of them */
	USERS = 64,	    /* stacks that are the program's own */
	AHEAD = 4,	    /* threads that are fetched from memory */
	LINE = 64,
};

struct carried {
	uintptr_t lo, hi; /* the block */
	uintptr_t from;	  /* [from, hi) is in use */
	size_t at;	  /* in bytes */
};

void carry_prepare(struct carry *c)
{
	size_t table;

	carry_free(c);
	c->most = MIN(tasks_total() + MORE, (unsigned)MOST);
	if (c->most == MORE)
		return;
	table = ALIGN_UP(c->most * sizeof(*c->v), (size_t)OS_PAGE);
	c->room = c->most * EACH + FEW;
	c->mapped = table + c->room;
	c->v = sysmem_map_shared(c->mapped, SYS_GC);
	if (!c->v)
		return;
	c->bytes = (char *)c->v + table;
	/* The pause is no time for page faults. */
	sysmem_populate(c->v, table + c->room / 4 * 3);
}

/* -------- which stacks -------- */

struct users {
	uintptr_t tcb[USERS];
	unsigned n;
};

static void add_user(uintptr_t tcb, enum roots_ring ring UNUSED, void *arg)
{
	struct users *u = arg;

	if (u->n < USERS)
		u->tcb[u->n] = tcb;
	u->n++;
}

static bool is_user(const struct users *u, uintptr_t tcb)
{
	for (unsigned i = 0; i < u->n; i++)
		if (u->tcb[i] == tcb)
			return true;
	return false;
}

static bool inside(const struct carried *s, uintptr_t sp)
{
	return sp >= s->lo && sp < s->hi;
}

/* At rest, on its own stack? Then fill in what is in use of it. */
static bool find(const struct stw_thread *t, struct carried *s)
{
	uintptr_t other = t->interrupted_sp ? t->interrupted_sp : t->sp;

	if ((t->how != STW_PARKED && t->how != STW_SIGNAL) ||
		!roots_is_tcb(t->tcb) ||
		!roots_stack_block(t->tcb, &s->lo, &s->hi) ||
		(s->lo | s->hi) % OS_PAGE)
		return false;
	if (!inside(s, t->sp) || !inside(s, other))
		return false;
	s->from = ALIGN_DOWN(MIN(t->sp, other), (uintptr_t)LINE);
	return s->hi - s->from <= LARGE;
}

static void put_away(struct carry *c, const struct stw_thread *t)
{
	struct carried *s = &c->v[c->n];

	if (c->n == c->most || !find(t, s) ||
		s->hi - s->from > c->room - c->used)
		return;
	s->at = c->used;
	memcpy(c->bytes + s->at, (const void *)s->from, s->hi - s->from);
	c->used += s->hi - s->from;
	c->n++;
}

/* Each lies on pages of its own: nothing of it is in any cache. */
static void fetch(const struct stw *w, unsigned i)
{
	const struct stw_thread *t = i < w->n ? stw_thread(w, i) : NULL;

	if (!t)
		return;
	__builtin_prefetch((const void *)t->sp);
	__builtin_prefetch((const void *)t->tcb);
	__builtin_prefetch((const char *)t->tcb + roots_libc.descriptor / 2);
}

/* -------- clone -------- */

/* Neighbours from v[i] on, in either direction. Returns whose they are not. */
static size_t run(const struct carry *c, size_t i, struct gc_range *r)
{
	*r = (struct gc_range){c->v[i].lo, c->v[i].hi};
	for (i++; i < c->n; i++) {
		if (c->v[i].hi == r->lo)
			r->lo = c->v[i].lo;
		else if (c->v[i].lo == r->hi)
			r->hi = c->v[i].hi;
		else
			break;
	}
	return i;
}

static bool program_has_advised(const struct carry *c)
{
	struct gc_range r;

	for (size_t i = 0; i < c->n && unforked_n;) {
		i = run(c, i, &r);
		if (unforked_overlaps(r.lo, r.hi))
			return true;
	}
	return unforked_unknown != 0;
}

static bool advise(const struct carry *c, int advice)
{
	struct gc_range r;
	bool ok = true;

	for (size_t i = 0; i < c->n;) {
		i = run(c, i, &r);
		ok &= !sys_failed(
			sys3(SYS_madvise, r.lo, r.hi - r.lo, advice));
	}
	return ok;
}

void carry_pack(struct carry *c, const struct stw *w)
{
	struct users users = {.n = 0};

	c->n = c->used = 0;
	if (!c->v || !roots_libc.ring)
		return;
	roots_ring(RING_USER, add_user, &users);
	if (users.n > USERS)
		return;
	for (unsigned i = 0; i < w->n; i++) {
		const struct stw_thread *t = stw_thread(w, i);

		fetch(w, i + AHEAD);
		if (!is_user(&users, t->tcb))
			put_away(c, t);
	}
	if (program_has_advised(c)) {
		c->n = 0;
	} else if (!advise(c, MADV_DONTFORK)) {
		/* A part of them may have it: too many mappings, say. */
		carry_done(c);
		c->n = 0;
	}
}

void carry_done(struct carry *c)
{
	advise(c, MADV_DOFORK);
}

bool carry_unpack(const struct carry *c)
{
	/* MAP_STACK: not in huge pages, whatever the machine's setting is. */
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE |
		    MAP_STACK | MAP_POPULATE;

	for (size_t i = 0; i < c->n; i++) {
		const struct carried *s = &c->v[i];
		uintptr_t lo = ALIGN_DOWN(s->from, (uintptr_t)OS_PAGE);

		if (sys_failed(sys6(SYS_mmap, (long)lo, (long)(s->hi - lo),
			    PROT_READ | PROT_WRITE, flags, -1, 0)))
			return false;
		memcpy((void *)s->from, c->bytes + s->at, s->hi - s->from);
	}
	return true;
}

void carry_free(struct carry *c)
{
	if (c->v)
		sysmem_unmap(c->v, c->mapped, SYS_GC);
	*c = (struct carry){.v = NULL};
}
