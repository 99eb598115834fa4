/* SPDX-License-Identifier: MIT */
/*
 * stackcopy: photographs of stacks.
 *
 *	stop ── registers, SP .. SP + 256 KiB of each ──▶ our memory ── start
 *	                                                     │
 *	                                  unwind_copied() ◀──┘  when all run again
 *
 * Unwinding is slow (a microsecond a frame, milliseconds for the first look
 * into a module) and needs the loader to hold still, which a thread at rest may
 * have in its hands. So the pause is spent copying: registers from where the
 * stop found them, and the inner end of the stack, which ends at the thread
 * descriptor where libc has made the stack. What lies above is asked for page
 * by page, because a stack may be anything: the first one, a coroutine's, half
 * unmapped.
 *
 *	how		registers			stack from
 *	PARKED		return address below SP, RBP	SP
 *	SIGNAL		the signal frame's		the interrupted SP
 *	TRACED		ptrace's			SP
 *	BLOCKED		SP, PC as /proc tells		SP
 *
 * A parked thread is inside a call that its wrapper has made, so the word below
 * the SP that it noted is where the wrapper goes on, and everything that the
 * wrapper's callers want back is in its frame. (In the moment before the call
 * that word is an old one; and a handler that calls wrappers of its own leaves a
 * frame pointer that is not this wrapper's. Such a thread has no frames, or in
 * the worst case wrong ones, in a report that was taken between two
 * instructions.)
 *
 * A handler of the program's may run on an alternate stack. The frame that the
 * kernel has put at the beginning of that says where the rest is, which is the
 * second piece.
 *
 * Invariants:
 *   I1  while the world is stopped nothing is allocated, locked or opened;
 *   I2  a piece lies inside [mem, mem + used).
 *
 * Locks: stw.lock, by stw_stop().
 *
 * Rejected: unwinding at rest, in place (10 to 100 times the pause);
 * /proc/self/maps for the bounds (0.03 to 0.7 ms, and stacks that are mapped
 * between reading it and the stop are not there).
 */
#include "gc/stackcopy.h"
#include "gc/park.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/user.h>
#include <ucontext.h>

enum {
	SPARE = 16, /* threads that may start before the stop */
	/* Arguments that the wrapper has pushed, and its return address. */
	BELOW = 6 * sizeof(uintptr_t),
	MAX_FRAME = 1024, /* of a wrapper */
	/* Where the kernel's signal frame has ss_sp, ss_size, rsp and cs. */
	FRAME_SP = 24,
	FRAME_SIZE = 40,
	FRAME_RSP = 168,
	FRAME_CS = 192,
	USER_CS = 0x33,
};

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A word of somebody's stack; sanitizers have opinions on those. */
__attribute__((no_sanitize("address", "thread")))
static uintptr_t word(const void *p)
{
	return *(const volatile uintptr_t *)p;
}

__attribute__((no_sanitize("address", "thread")))
static void copy_words(uintptr_t *to, uintptr_t from, size_t n)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n)
			 : : "memory");
}

/* At most c->most bytes from lo on, up to end (0: unknown). */
static void copy_piece(struct stackcopies *c, struct stackpiece *p,
	uintptr_t lo, uintptr_t end)
{
	size_t room = MIN(c->most, c->bytes - c->used);
	uintptr_t stop, at;

	lo = ALIGN_DOWN(lo, (uintptr_t)8);
	if (lo < OS_PAGE || lo >> 47)
		return;
	stop = lo + room;
	if (end > lo && end < stop)
		stop = ALIGN_DOWN(end, (uintptr_t)8);
	*p = (struct stackpiece){.lo = lo, .copy = c->mem + c->used};
	for (at = lo; at < stop && stackrange_readable(at);) {
		uintptr_t page = ALIGN_DOWN(at, (uintptr_t)OS_PAGE) + OS_PAGE;
		size_t n = MIN(page, stop) - at;

		copy_words((uintptr_t *)(c->mem + c->used), at,
			n / sizeof(uintptr_t));
		c->used += n;
		at += n;
	}
	p->hi = at;
}

/*
 * Where the thread was when a signal brought it to its alternate stack, if it
 * is on that: the outermost such frame, or 0. The frame knows the stack, and a
 * thread that ptrace holds may be there, too: at the first instruction of our
 * own handler, when it had no time to answer.
 */
static uintptr_t sp_before(const struct stackpiece *p)
{
	size_t n = p->hi - p->lo;

	if (n < FRAME_CS + sizeof(uintptr_t))
		return 0;
	for (n -= FRAME_CS + sizeof(uintptr_t); n < p->hi - p->lo; n -= 8) {
		uintptr_t lo = word(p->copy + n + FRAME_SP);
		uintptr_t size = word(p->copy + n + FRAME_SIZE);

		if (lo < p->lo && p->lo - lo < size && p->lo + n - lo < size &&
			(word(p->copy + n + FRAME_CS) & 0xffff) == USER_CS)
			return word(p->copy + n + FRAME_RSP);
	}
	return 0;
}

static void copy_stack(struct stackcopies *c, struct stackcopy *k,
	const struct stw_thread *t, uintptr_t sp)
{
	bool alternate = sp - t->alt_lo < t->alt_hi - t->alt_lo;
	struct unwind_copy *at = &k->at;

	copy_piece(c, &at->piece[0], sp, alternate ? t->alt_hi : t->tcb);
	if (alternate || t->how == STW_TRACED)
		copy_piece(c, &at->piece[1], sp_before(&at->piece[0]), t->tcb);
}

/* By number: REG_RAX is 13, and so on. */
static void from_context(struct unwind_copy *at, const void *context)
{
	static const uint8_t greg[CFI_NREG] = {REG_RAX, REG_RDX, REG_RCX,
		REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8, REG_R9,
		REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
	const ucontext_t *uc = context;

	for (unsigned r = 0; r < CFI_NREG; r++)
		at->reg[r] = word(&uc->uc_mcontext.gregs[greg[r]]);
	at->reg[CFI_RA]++;
	at->valid = (1u << CFI_NREG) - 1;
}

#define USER_REG(name)                                                         \
	(offsetof(struct user_regs_struct, name) / sizeof(uintptr_t))

static void from_ptrace(struct unwind_copy *at, const uintptr_t *regs)
{
	static const uint8_t user[CFI_NREG] = {USER_REG(rax), USER_REG(rdx),
		USER_REG(rcx), USER_REG(rbx), USER_REG(rsi), USER_REG(rdi),
		USER_REG(rbp), USER_REG(rsp), USER_REG(r8), USER_REG(r9),
		USER_REG(r10), USER_REG(r11), USER_REG(r12), USER_REG(r13),
		USER_REG(r14), USER_REG(r15), USER_REG(rip)};

	for (unsigned r = 0; r < CFI_NREG; r++)
		at->reg[r] = regs[user[r]];
	at->reg[CFI_RA]++;
	at->valid = (1u << CFI_NREG) - 1;
}

static void from_park(struct unwind_copy *at, const struct stw_thread *t)
{
	static const uint8_t lent[PARK_NREGS] = {CFI_RBX, CFI_RBP, CFI_R12,
		CFI_R12 + 1, CFI_R12 + 2, CFI_R15};

	at->reg[CFI_RSP] = t->sp;
	at->valid = 1u << CFI_RSP;
	if (t->bp - t->sp < MAX_FRAME && !t->nregs) {
		at->reg[CFI_RBP] = t->bp;
		at->valid |= 1u << CFI_RBP;
	}
	for (unsigned i = 0; i < t->nregs && i < PARK_NREGS; i++) {
		at->reg[lent[i]] = t->regs[i];
		at->valid |= 1u << lent[i];
	}
}

static void copy_thread(struct stackcopies *c, const struct stw_thread *t)
{
	struct stackcopy *k = &c->v[c->n++];
	uintptr_t sp = t->sp;

	*k = (struct stackcopy){.tid = t->tid, .how = t->how, .tcb = t->tcb};
	switch ((enum stw_how)t->how) {
	case STW_PARKED:
		from_park(&k->at, t);
		sp -= BELOW;
		break;
	case STW_SIGNAL:
		from_context(&k->at, t->context);
		sp = k->at.reg[CFI_RSP];
		break;
	case STW_TRACED:
		from_ptrace(&k->at, t->regs);
		sp = k->at.reg[CFI_RSP];
		break;
	case STW_BLOCKED:
		k->at.reg[CFI_RSP] = sp;
		k->at.reg[CFI_RA] = t->pc + 1;
		k->at.valid = 1u << CFI_RSP | 1u << CFI_RA;
		break;
	default:
		return;
	}
	copy_stack(c, k, t, sp);
}

/*
 * Where a parked thread's wrapper goes on: see above. In vfork that is in the
 * program itself, or where its child has called something from there.
 */
static void find_return(struct unwind_copy *at)
{
	bool vfork = at->valid >> CFI_RBX & 1;
	const struct stackpiece *p = &at->piece[0];
	uintptr_t below = at->reg[CFI_RSP] - p->lo;

	for (unsigned i = 8; i <= BELOW && i <= below && below <= p->hi - p->lo;
		i += 8) {
		uintptr_t pc = word(p->copy + below - i);
		struct cfi_row row;

		if ((!vfork && !unwind_is_own(pc)) || !cfi_find(pc - 1, &row) ||
			row.cfa_how != CFI_REGISTER || row.cfa_reg >= CFI_NREG ||
			!(at->valid >> row.cfa_reg & 1))
			continue;
		at->reg[CFI_RA] = pc;
		at->valid |= 1u << CFI_RA;
		return;
	}
}

static bool make_room(struct stackcopies *c)
{
	size_t n = tasks_count(), head;

	n += n / 8 + SPARE;
	c->cap = (unsigned)n;
	c->most = MAX(MIN(STACKCOPY_ALL / n, (size_t)STACKCOPY_MOST),
		(size_t)OS_PAGE);
	c->most = ALIGN_DOWN(c->most, (size_t)OS_PAGE);
	head = ALIGN_UP(n * sizeof(struct stackcopy), (size_t)OS_PAGE);
	c->bytes = head + n * c->most;
	c->mem = sysmem_map(NULL, c->bytes, SYS_OTHER);
	if (!c->mem)
		return false;
	/* Most threads use a page or two; better touched now than at rest. */
	sys3(SYS_madvise, c->mem, head + n * MIN(c->most, 2 * OS_PAGE),
		MADV_POPULATE_WRITE);
	c->v = (struct stackcopy *)c->mem;
	c->used = head;
	return true;
}

enum stw_result stackcopy_take(struct stackcopies *c)
{
	enum stw_result r;
	struct stw w;

	*c = (struct stackcopies){0};
	if (!make_room(c))
		return STW_NO_MEMORY;
	r = stw_stop(&w, 0);
	if (r != STW_OK) {
		stackcopy_free(c);
		return r;
	}
	for (unsigned i = 0; i < w.n && c->n < c->cap; i++)
		if (stw_thread(&w, i)->how != STW_GONE)
			copy_thread(c, stw_thread(&w, i));
	stw_start(&w);
	c->pause_ns = clock_mono_ns() - w.stopped_ns;
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].how == STW_PARKED)
			find_return(&c->v[i].at);
	return STW_OK;
}

void stackcopy_free(struct stackcopies *c)
{
	if (c->mem)
		sysmem_unmap(c->mem, c->bytes, SYS_OTHER);
	*c = (struct stackcopies){0};
}
