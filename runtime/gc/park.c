/* SPDX-License-Identifier: MIT */
/*
 * park: threads inside blocking calls count as at rest.
 *
 * A signal interrupts a call that blocks, and some calls cannot hide that:
 * poll() ends with EINTR, sleep() returns early, a large write() comes back
 * short, whatever SA_RESTART says. So preload/ wraps them. A wrapper notes the
 * stack pointer in the thread's record, calls, and clears it again; while it is
 * noted, the thread executes nothing of the program's, and everything that the
 * program has in registers has been pushed above that stack pointer.
 *
 *	thread                          stopper
 *	sp = rsp                        stw_word |= STW_STOPPING
 *	stw_word & STW_STOPPING? wait   membarrier
 *	   ... in the kernel ...        sp != 0? at rest : send the signal
 *	sp = 0
 *	stw_word & STW_STOPPING? wait
 *
 * The thread pays two stores and two loads, 2 ns in all: the membarrier puts
 * the fence between its store and its load, wherever it is. Where the kernel has
 * no membarrier, STW_FENCE asks for a real one. Because it looks on the way in
 * as well, no signal that was sent to it can arrive inside the call.
 *
 * Ways out of a call other than return:
 *   - a signal handler of the program's runs: preload/ calls park_interrupt()
 *     first. A call that a handler has interrupted either ends, or is one that
 *     may be interrupted again, so it need not be parked again for the rest;
 *   - the handler jumps away: sp is 0 by then;
 *   - the thread is cancelled, or an exception comes through: the unwinder
 *     calls park_personality() for the frame.
 *
 * A thread that the signal finds inside the allocator goes on until it is out
 * of it, and then parks itself: park_here().
 *
 * Records lie outside the thread (they outlive it) in pages of their own and
 * move to a new thread when the kernel no longer knows the old one. Nobody has
 * to tell us that a thread ends.
 *
 * Invariants:
 *   P1  sp != 0 only while the owner is inside a wrapped call, and then all that
 *       it has in use lies at sp and above;
 *   P2  a record has at most one owner, and a live thread's is never given away;
 *   P3  no wrapped call allocates: who is parked is not in the allocator.
 *
 * Locks: park.busy, held for a microsecond. A handler that has interrupted its
 * holder gives up instead, and its call is not parked.
 * Rejected: the records in thread-local storage (gone with the thread while
 * somebody reads them, and static TLS is scarce); a key destructor to give them
 * back (destructors that run later would register again).
 */
#include "gc/park.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <unwind.h>

enum { PER_CHUNK = (OS_PAGE - 1) / sizeof(struct park) };

struct chunk {
	struct chunk *next;
	struct park rec[PER_CHUNK];
} __attribute__((aligned(OS_PAGE)));

_Static_assert(sizeof(struct chunk) == OS_PAGE, "a page for each chunk");

THREAD_LOCAL struct park *park_self;
uint32_t stw_word;
int stw_stopper;

static struct {
	int busy; /* tid of the holder, or 0 */
	int pid;  /* 0: off */
	struct chunk *chunks; /* newest first; never unlinked */
	unsigned used, cap;   /* under busy */
} park;

/* What threads with shared thread-local storage have; never looked at. */
static struct park nobody;

AT_START void park_enable(void)
{
	store_relaxed(&park.pid, (int)sys0(SYS_getpid));
}

struct park *park_next(struct park *p)
{
	struct chunk *c;

	/* acquire [chunks]: pairs with the release in add_chunk(). */
	if (!p)
		return (c = load_acquire(&park.chunks)) ? c->rec : NULL;
	c = (struct chunk *)ALIGN_DOWN((uintptr_t)p, (uintptr_t)OS_PAGE);
	if (++p < c->rec + PER_CHUNK)
		return p;
	return c->next ? c->next->rec : NULL;
}

static bool add_chunk(void)
{
	struct chunk *c = sysmem_map(NULL, sizeof(*c), SYS_GC);

	if (!c)
		return false;
	c->next = park.chunks;
	/* release [chunks]: pairs with park_next(). */
	store_release(&park.chunks, c);
	park.cap += PER_CHUNK;
	return true;
}

/* Take back the records of threads that are gone. */
static void sweep(void)
{
	for (struct park *p = NULL; (p = park_next(p));)
		if (p->tid && sys3(SYS_tgkill, park.pid, p->tid, 0) == -ESRCH) {
			store_relaxed(&p->sp, 0);
			store_relaxed(&p->tid, 0);
			park.used--;
		}
}

/*
 * When all records are taken: those of dead threads, or half as many again, so
 * that it stays rare.
 */
static void make_room(void)
{
	unsigned want;

	sweep();
	want = park.used + park.used / 2;
	while (park.cap <= want && add_chunk())
		;
}

static struct park *find_free(void)
{
	if (park.used == park.cap)
		make_room();
	for (struct park *p = NULL; (p = park_next(p));)
		if (!p->tid)
			return p;
	return NULL;
}

/*
 * Is this the process that records and stops are about? A forked child may have
 * been copied in the middle of a stop, and a vfork child sees its parent's.
 */
static bool concerned(void)
{
	return load_relaxed(&park.pid) == (int)sys0(SYS_getpid);
}

static bool get_busy(int tid)
{
	for (;;) {
		int holder = 0;

		/* acquire [busy]: pairs with the release in park_register(). */
		if (cas_acquire(&park.busy, &holder, tid))
			return true;
		if (holder == tid)
			return false;
		sys0(SYS_sched_yield);
	}
}

COLD struct park *park_register(void)
{
	struct park *p = NULL;
	int tid;

	if (!load_relaxed(&park.pid) || sandboxed || !concerned())
		return NULL;
	tid = (int)sys0(SYS_gettid);
	if (!get_busy(tid))
		return NULL;
	if (!park_self)
		p = find_free();
	if (p) {
		*p = (struct park){.tid = tid,
			.tcb = (uintptr_t)__builtin_thread_pointer()};
		park.used++;
		/* release [parked]: sp is only set behind this. */
		__atomic_thread_fence(__ATOMIC_RELEASE);
		park_self = p;
	}
	/* release [busy]: pairs with get_busy(). */
	store_release(&park.busy, 0);
	return p;
}

void park_abandon(void)
{
	struct park *p = park_self;

	/* The record is swept when the thread ends. */
	if (p)
		store_relaxed(&p->sp, 0);
	park_self = &nobody;
}

struct park *park_lend(const uintptr_t regs[PARK_NREGS + 1])
{
	struct park *mine = park_self, *p = park_record();

	if (p)
		mine = p;
	if (p && regs) {
		memcpy(p->regs, regs, sizeof(p->regs));
		p->nregs = PARK_NREGS;
		/* release [parked]: with the registers. */
		store_release(&p->sp, regs[PARK_NREGS]);
		if (park_slow())
			park_hold(p, regs[PARK_NREGS]);
	}
	park_self = &nobody;
	return mine;
}

void park_return(struct park *p)
{
	park_self = p;
	if (!p)
		return;
	park_leave(p);
	p->nregs = 0;
}

void park_altstack(uintptr_t lo, uintptr_t hi)
{
	struct park *p = park_record();

	if (p) {
		store_relaxed(&p->alt_lo, lo);
		store_relaxed(&p->alt_hi, hi);
	}
}

/*
 * Has this thread to wait? Only the slow halves ask, behind a store of theirs to
 * sp. Returns the word to wait for the change of, or 0.
 */
static uint32_t world_stops(void)
{
	uint32_t word;

	/* seq_cst: the fence that membarrier would have been. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* acquire [world]: pairs with the release in stw_start(). */
	word = load_acquire(&stw_word);
	if (!(word & STW_STOPPING) || !concerned() ||
		load_relaxed(&stw_stopper) == (int)sys0(SYS_gettid))
		return 0;
	return word;
}

static void sleep_on(uint32_t word)
{
	sys4(SYS_futex, &stw_word, FUTEX_WAIT_PRIVATE, word, NULL);
}

COLD void park_hold(struct park *p, uintptr_t sp)
{
	uint32_t word;

	while ((word = world_stops()) != 0) {
		sleep_on(word);
		/* A handler that ran meanwhile has taken it. */
		store_relaxed(&p->sp, sp);
	}
}

/* Wait behind a call with this sp, unless the world goes on. */
static void wait_at(struct park *p, uintptr_t sp)
{
	uint32_t word;

	while ((word = world_stops()) != 0) {
		store_relaxed(&p->sp, sp);
		sleep_on(word);
		store_relaxed(&p->sp, 0);
	}
}

COLD void park_wait(struct park *p)
{
	wait_at(p, (uintptr_t)__builtin_dwarf_cfa());
}

/*
 * What the kernel has pushed for the handler may hold a pointer: it is covered
 * too, unless it lies on the alternate stack. That one is looked at anyway, and
 * of the thread's own stack the part in use must be known.
 */
uintptr_t park_interrupt(void)
{
	uintptr_t here = (uintptr_t)__builtin_dwarf_cfa(), sp;
	struct park *p = park_self;

	if (!p)
		return 0;
	sp = load_relaxed(&p->sp);
	if (!sp)
		return 0;
	store_relaxed(&p->sp, 0);
	signal_fence();
	if (park_slow())
		wait_at(p, here - p->alt_lo < p->alt_hi - p->alt_lo ? sp
								   : here);
	return sp;
}

NOINLINE void park_here(void)
{
	uintptr_t nothing = 0;
	struct park *p = PARK_ENTER(nothing);

	park_leave(p);
}

int park_personality(int version UNUSED, int actions, uint64_t class UNUSED,
	void *exception UNUSED, void *context UNUSED)
{
	if (actions & _UA_CLEANUP_PHASE && park_self)
		park_leave(park_self);
	return _URC_CONTINUE_UNWIND;
}

void park_postfork_child(void)
{
	if (!park.pid)
		return;
	park.pid = (int)sys0(SYS_getpid);
	park.busy = 0;
	park.used = 0;
	for (struct park *p = NULL; (p = park_next(p));) {
		p->sp = 0;
		p->nregs = 0;
		p->creating = 0;
		p->tid = p == park_self ? (int)sys0(SYS_gettid) : 0;
		park.used += p->tid != 0;
	}
	and_relaxed(&stw_word, ~(uint32_t)STW_STOPPING);
}
