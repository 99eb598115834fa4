/* SPDX-License-Identifier: MIT */
/*
 * stw: stopping the world, and starting it.
 *
 *	list the threads	before anybody notices
 *	stw_word |= STOPPING	who leaves a wrapped call from now on waits
 *	membarrier		... and has seen it
 *	parked?			at rest already, nothing to do
 *	signal 33		to all others; they answer from the handler
 *	look, trace		at those that do not
 *	anybody new?		once more
 *
 * What is known of a thread is in its entry (threads.c). It goes
 *
 *	NEW -> PARKED
 *	    -> ASKED -> SIGNAL				answered
 *	             -> AGAIN -> PARKED, ASKED		was inside the allocator
 *	             -> GONE, BLOCKED, TRACED, RUNNING	did not answer
 *
 * Threads start and end meanwhile. Those that start are found by the next walk
 * over /proc, and threads at rest start none: when the kernel's count agrees
 * with the list, or two walks bring nobody new, it is complete.
 *
 * Patience: a thread that shares its CPU with a hundred others answers after
 * their time slices. After LOOK_NS the kernel is asked about those that have
 * not answered; after TRACE_NS those that block the signal are traced (libc
 * blocks it too, for microseconds, in pthread_create); after BLOCKED_NS those
 * that the kernel does not wake up are left where they are. A thread that merely
 * wants to run is waited for until the caller's limit, then the stop is given
 * up: it is tried again later, and nothing has happened.
 *
 * Invariants:
 *   S1  STW_STOPPING is set only under stw.lock;
 *   S2  each stop has its own stw_word: what belongs to another one is ignored;
 *   S3  the caller's signals that have handlers are blocked while it is set, so
 *       that none runs on the one thread that is not at rest.
 *
 * Locks: stw.lock (LOCK_STW), from stw_stop() to stw_start() and around fork.
 */
#include "gc/stw.h"
#include "base/atomics.h"
#include "base/lock.h"
#include "gc/aside.h"
#include "gc/park.h"
#include "gc/stw_ways.h"
#include "gc/threads.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/tasks.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>

enum {
	SPIN_NS = 20000,    /* as long as a futex sleep and wake-up costs */
	WAIT_NS = 200000,   /* between looks at who has not answered */
	LOOK_NS = 1000000,
	TRACE_NS = 5000000,
	/* Waiting for a page or for the lock of the page tables is shorter. */
	BLOCKED_NS = 50000000,
	AGAIN_PAUSES = 100, /* some 3 us: most slow paths are over by then */
};

unsigned stw_without;

static struct {
	struct lock lock;
	uint64_t mask; /* the caller's, while stopped */
	int pid;       /* of the process whose threads these are */
	bool registered; /* for membarrier */
	int zombie;	 /* the first thread, if it has ended before the rest */
	struct stw_thread *masked[64];
	unsigned nmasked;
} stw = {.lock = LOCK_INIT(LOCK_STW)};

/*
 * Everybody who runs passes a full fence. False: no such thing here. The
 * registration costs milliseconds where there are threads, once.
 */
static bool barrier(void)
{
	long r;

	if (stw_without & STW_NO_MEMBARRIER)
		return false;
	if (!stw.registered) {
		r = sys2(SYS_membarrier,
			MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0);
		stw.registered = !sys_failed(r);
	}
	r = sys2(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
	return !sys_failed(r);
}

/*
 * Raise the flag. True if parked threads can be believed: they see it on their
 * way out. Where that takes a fence on their side, everybody gets to know by
 * the signal now, and the next stop believes them.
 */
static bool raise_flag(void)
{
	/* seq_cst: before any look at a record. */
	uint32_t word = __atomic_fetch_or(
		&stw_word, STW_STOPPING, __ATOMIC_SEQ_CST);

	if (word & STW_FENCE || barrier())
		return true;
	or_relaxed(&stw_word, STW_FENCE);
	return false;
}

static void lower_flag(void)
{
	uint32_t word = load_relaxed(&stw_word);

	store_relaxed(&stop_wanted, 0);
	/* release [world]: what was done meanwhile is seen by who waited. */
	store_release(&stw_word, (word & ~(uint32_t)STW_STOPPING) + STW_ONE);
	sys3(SYS_futex, &stw_word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void release_all(void)
{
	stw_stopper = 0;
	lower_flag();
	stw_trace_release();
}

/* May a record speak for this entry? */
static bool unsettled(uint32_t how)
{
	return how == STW_NEW || how == STW_AGAIN;
}

/* Threads in wrapped calls or in park_here() are at rest where they are. */
static void take_parked(void)
{
	for (struct park *p = NULL; (p = park_next(p));) {
		/* acquire [parked]: tid and tcb are the owner's. */
		uintptr_t sp = load_acquire(&p->sp);
		struct stw_thread *t = sp ? threads_find(p->tid) : NULL;

		/* acquire [answer]: see stw_signal.c. */
		if (!t || !unsettled(load_acquire(&t->how)))
			continue;
		t->sp = sp;
		t->bp = p->bp;
		t->tcb = p->tcb;
		t->alt_lo = p->alt_lo;
		t->alt_hi = p->alt_hi;
		t->creating = p->creating;
		t->regs = p->regs;
		t->nregs = p->nregs;
		t->how = STW_PARKED;
	}
}

/* Send the signal to everyone who is NEW or AGAIN. False: it can't be sent. */
static bool ask_all(void)
{
	for (unsigned i = 0; i < threads_n; i++) {
		struct stw_thread *t = threads_at(i);
		/* acquire [answer]: see stw_signal.c. */
		uint32_t how = load_acquire(&t->how);
		int r;

		if (!unsettled(how))
			continue;
		r = stw_signal_ask(t, load_relaxed(&stw_word));
		if (r && r != -ESRCH && r != -EAGAIN)
			return false;
	}
	return true;
}

static unsigned count(enum stw_how how)
{
	unsigned n = 0;

	for (unsigned i = 0; i < threads_n; i++)
		/* acquire [answer]: see stw_signal.c. */
		n += load_acquire(&threads_at(i)->how) == how;
	return n;
}

/* Instead of its own answer; it may give one at this moment: that is better. */
static bool answered_for(struct stw_thread *t, enum stw_how how)
{
	uint32_t asked = STW_ASKED;

	if (!cas_relaxed(&t->how, &asked, how))
		return false;
	sub_relaxed(&stw_pending, 1);
	return true;
}

static void blocked(struct stw_thread *t, const struct stw_thread *seen)
{
	if (!answered_for(t, STW_BLOCKED))
		return;
	t->sp = seen->sp;
	t->pc = seen->pc;
	t->tcb = seen->tcb;
	t->nregs = seen->nregs;
	memcpy(t->args, seen->args, sizeof(t->args));
	t->regs = t->args;
}

static void look_at(struct stw_thread *t, int64_t spent)
{
	struct stw_thread seen = {.tid = t->tid, .ran_ns = t->ran_ns};
	enum stw_state state = stw_proc_look(&seen);

	t->ran_ns = seen.ran_ns;
	switch (state) {
	case STW_IS_GONE:
		answered_for(t, STW_GONE);
		break;
	case STW_IS_ZOMBIE:
		/* The first thread has ended; only the process's end frees it. */
		if (answered_for(t, STW_GONE) && t->tid == (int)sys0(SYS_getpid))
			stw.zombie = t->tid;
		break;
	case STW_IS_BLOCKED:
		if (spent >= BLOCKED_NS && !stw_is_busy(seen.tcb))
			blocked(t, &seen);
		break;
	case STW_IS_MASKED:
		if (stw.nmasked < NELEM(stw.masked))
			stw.masked[stw.nmasked++] = t;
		break;
	case STW_IS_COMING:
		break;
	}
}

/*
 * Has who did not answer ended? After a while the kernel is asked for more; who
 * blocks the signal is noted.
 */
static void look_at_missing(int64_t spent)
{
	int pid = (int)sys0(SYS_getpid);

	stw.nmasked = 0;
	for (unsigned i = 0; i < threads_n; i++) {
		struct stw_thread *t = threads_at(i);

		/* acquire [answer]: see stw_signal.c. */
		if (load_acquire(&t->how) != STW_ASKED)
			continue;
		if (spent >= LOOK_NS)
			look_at(t, spent);
		else if (sys3(SYS_tgkill, pid, t->tid, 0) == -ESRCH)
			answered_for(t, STW_GONE);
	}
}

/* Those that block the signal: hold them, or admit that they run. */
static void trace_masked(int64_t limit_ns)
{
	unsigned n = stw.nmasked;

	stw.nmasked = 0;
	if (!(stw_without & STW_NO_PTRACE))
		stw_trace(stw.masked, n, limit_ns);
	for (unsigned i = 0; i < n; i++) {
		struct stw_thread *t = stw.masked[i];

		if (t->nregs && answered_for(t, STW_TRACED))
			continue;
		if (answered_for(t, STW_RUNNING)) {
			t->sp = 0;
			t->tcb = stw_proc_tcb(t->tid);
		}
	}
}

/*
 * Until all have answered, for a while. Who spins has the CPU on which one of
 * them wants to answer, unless there is a CPU for each.
 */
static void wait_for_answers(void)
{
	int64_t spin_until = clock_mono_ns() + SPIN_NS;
	struct timespec most = {0, WAIT_NS};
	uint32_t n;

	/* acquire [answer]: see stw_signal.c. */
	while ((n = load_acquire(&stw_pending)) != 0) {
		if (n < cpus_usable() && clock_mono_ns() < spin_until) {
			cpu_relax();
			continue;
		}
		if (sys4(SYS_futex, &stw_pending, FUTEX_WAIT_PRIVATE, n,
			    &most) == -ETIMEDOUT)
			return;
	}
}

/* Give those that were in the allocator the time to get out of it. */
static void let_run(void)
{
	for (int i = 0; i < AGAIN_PAUSES; i++)
		cpu_relax();
	sys0(SYS_sched_yield);
}

/* Everybody in the list, or STW_LATE. */
static enum stw_result bring_to_rest(int64_t start, int64_t limit_ns,
	bool believe)
{
	for (;;) {
		int64_t spent;

		if (believe)
			take_parked();
		if (!ask_all())
			return STW_NO_SIGNAL;
		wait_for_answers();
		if (!count(STW_NEW) && !count(STW_AGAIN) &&
			!count(STW_ASKED))
			return STW_OK;
		spent = clock_mono_ns() - start;
		if (spent > limit_ns)
			return STW_LATE;
		look_at_missing(spent);
		/*
		 * Those still in our handler from the last time will come; who
		 * is at rest there now is none of them.
		 */
		if (spent >= TRACE_NS &&
			stw.nmasked + count(STW_SIGNAL) >
				load_relaxed(&stw_inside))
			trace_masked(limit_ns - spent);
		if (count(STW_AGAIN) || count(STW_NEW))
			let_run();
	}
}

static enum stw_result walk(unsigned *added)
{
	int n = threads_scan();

	if (n < 0)
		return n == -1 ? STW_NO_THREADS : STW_NO_MEMORY;
	if (added)
		*added = (unsigned)n;
	return STW_OK;
}

/* Walk and stop until the list is the process. */
static enum stw_result stop_all(int64_t start, int64_t limit_ns, bool believe)
{
	int quiet = 0;

	for (;;) {
		enum stw_result r;
		unsigned added;

		r = bring_to_rest(start, limit_ns, believe);
		if (r != STW_OK)
			return r;
		if (threads_complete(count(STW_GONE) - (stw.zombie != 0)))
			return STW_OK;
		r = walk(&added);
		if (r != STW_OK)
			return r;
		quiet = added ? 0 : quiet + 1;
		if (quiet == 2)
			return STW_OK;
	}
}

/* The last step: what w says of all that. */
static void report(struct stw *w)
{
	w->rest_ns = clock_mono_ns();
	w->n = threads_n;
	w->nparked = count(STW_PARKED);
	w->nsignal = count(STW_SIGNAL);
	w->ntraced = count(STW_TRACED);
	w->nblocked = count(STW_BLOCKED);
	w->nrunning = count(STW_RUNNING);
}

static enum stw_result stop(struct stw *w, int64_t limit_ns)
{
	enum stw_result r;
	bool believe;

	if (sandboxed || stw_signal_install())
		return STW_NO_SIGNAL;
	threads_reset(w->self_tid);
	r = walk(NULL);
	if (r != STW_OK)
		return r;
	if (stw.zombie && threads_find(stw.zombie))
		threads_find(stw.zombie)->how = STW_GONE;
	if (!stw.registered)
		barrier(); /* slow, the first time */
	stop_hook = park_here;
	w->stopped_ns = clock_mono_ns();
	believe = raise_flag() && !(stw_without & STW_NO_PARK) &&
		!stw_signal_strange();
	store_relaxed(&stop_wanted, believe);
	r = stop_all(w->stopped_ns, limit_ns ? limit_ns : STW_LIMIT_NS,
		believe);
	if (r == STW_OK)
		report(w);
	else
		release_all();
	return r;
}

static void leave(void)
{
	uint64_t mask = stw.mask;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	unlock(&stw.lock);
}

/* From stw_stop(), which has saved the caller's registers. */
enum stw_result stw_stop_from(struct stw *w, int64_t limit_ns)
{
	uint64_t handled = ~UINT64_C(0), mask;
	enum stw_result r;

	/* First: another stopper must be able to stop who waits here. */
	lock(&stw.lock);
	if (!sandboxed)
		handled = stw_signal_survey();
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, &handled, &mask, sizeof(handled));
	stw.mask = mask;
	w->self_tid = (int)sys0(SYS_gettid);
	if (aside_sp)
		w->self_sp = aside_sp;
	stw_stopper = w->self_tid;
	w->self_tcb = (uintptr_t)__builtin_thread_pointer();
	w->self_hidden = w->self_tid == tasks_hidden();
	r = stop(w, limit_ns);
	if (r != STW_OK)
		leave();
	return r;
}

/*
 * The caller's callee-saved registers, before a compiler puts them elsewhere,
 * and its stack pointer as it will be on return.
 */
__attribute__((naked)) enum stw_result stw_stop(struct stw *w UNUSED,
	int64_t limit_ns UNUSED)
{
	__asm__("	movq	%rbx, 0(%rdi)\n"
		"	movq	%rbp, 8(%rdi)\n"
		"	movq	%r12, 16(%rdi)\n"
		"	movq	%r13, 24(%rdi)\n"
		"	movq	%r14, 32(%rdi)\n"
		"	movq	%r15, 40(%rdi)\n"
		"	leaq	8(%rsp), %rax\n"
		"	movq	%rax, 48(%rdi)\n"
		"	jmp	stw_stop_from\n");
}

void stw_start(struct stw *w UNUSED)
{
	release_all();
	leave();
}

const struct stw_thread *stw_thread(const struct stw *w UNUSED, unsigned i)
{
	return threads_at(i);
}

const char *stw_why(enum stw_result r)
{
	static const char *const why[] = {
		[STW_OK] = "stopped",
		[STW_NO_THREADS] = "cannot list the threads (no /proc?)",
		[STW_NO_MEMORY] = "no memory",
		[STW_NO_SIGNAL] = "cannot signal the threads",
		[STW_LATE] = "a thread did not come to rest in time",
	};

	return why[r];
}

void stw_init(void)
{
	stw.pid = (int)sys0(SYS_getpid);
}

bool stw_concerned(void)
{
	return !sandboxed && !stop_deferred &&
	       stw.pid == (int)sys0(SYS_getpid) &&
	       load_relaxed(&stw_stopper) != (int)sys0(SYS_gettid);
}

bool stw_trylock(void)
{
	return stw_concerned() && trylock(&stw.lock);
}

void stw_unlock(void)
{
	unlock(&stw.lock);
}

void stw_prefork(void)
{
	lock(&stw.lock);
}

void stw_postfork_parent(void)
{
	unlock(&stw.lock);
}

void stw_postfork_child(void)
{
	stw.zombie = 0;
	stw.pid = (int)sys0(SYS_getpid);
	stw_stopper = 0;
	park_postfork_child();
	lock_reinit(&stw.lock);
}
