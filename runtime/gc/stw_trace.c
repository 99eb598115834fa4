/* SPDX-License-Identifier: MIT */
/*
 * stw_trace: ptrace, for threads that block signal 33.
 *
 * Nobody can trace a thread of its own process, so a helper task is made that
 * shares our memory but is a process of its own. It stops the threads, copies
 * their registers, waits for the word to let them go, and ends.
 *
 *	stopper            tracer                    thread
 *	rawclone
 *	TRACE_WORKING ───▶ SEIZE, INTERRUPT ───────▶ stops
 *	waits              wait4, GETREGSET ◀──────
 *	  ◀── TRACE_HELD ─
 *	TRACE_LET_GO ────▶ DETACH ─────────────────▶ goes on
 *	wait4(__WALL) ◀─── exit
 *
 * The helper has our thread-local storage, so it makes raw system calls only.
 * It is no child that the program's wait() could see: its exit signal is 0. If
 * it is killed, the kernel lets the threads go.
 *
 * A thread can have one tracer: under gdb or strace there is nothing to be had
 * here. Yama wants to be told who may trace us.
 *
 * A signal that was on its way to a thread when it stopped is given to it when
 * it is let go.
 *
 * Threads are found to block the signal one after the other, so there may be
 * several such helpers in one stop, each with its own threads.
 */
#include "base/atomics.h"
#include "gc/stw_ways.h"
#include "os/clock.h"
#include "os/rawclone.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

enum { TRACE_NEW, TRACE_WORKING, TRACE_HELD, TRACE_LET_GO };

enum {
	MAX_TRACED = 64,
	STACK = 16 << 10,
	XSAVE_MAX = 12 << 10, /* with AMX tiles: 11 KiB */
	POLL_NS = 50000,
};

/* One thread's registers. */
struct regs {
	struct user_regs_struct general;
	char extended[XSAVE_MAX] __attribute__((aligned(64)));
};

struct traced {
	struct stw_thread *t;
	bool seized, held;
	int signal; /* to be given back */
	struct regs r;
};

/* One helper, and the threads it holds. */
struct trace {
	struct trace *next;
	uint32_t state; /* futex word */
	int pid;
	int64_t until_ns;
	size_t bytes; /* of the mapping; its stack lies behind v */
	unsigned n;
	struct traced v[];
};

static struct trace *traces; /* of this stop */

static long ptrace_call(long request, int tid, long addr, long data)
{
	return sys4(SYS_ptrace, request, tid, addr, data);
}

static void read_registers(struct traced *k)
{
	struct iovec general = {&k->r.general, sizeof(k->r.general)};
	struct iovec extended = {k->r.extended, sizeof(k->r.extended)};
	struct stw_thread *t = k->t;
	int tid = t->tid;

	if (sys_failed(ptrace_call(PTRACE_GETREGSET, tid, NT_PRSTATUS,
		    (long)&general)))
		return;
	if (sys_failed(ptrace_call(PTRACE_GETREGSET, tid, NT_X86_XSTATE,
		    (long)&extended)))
		extended.iov_len = 0;
	if (stw_is_busy(k->r.general.fs_base)) {
		/* In the allocator: a moment later. */
		ptrace_call(PTRACE_CONT, tid, 0, k->signal);
		k->signal = 0;
		ptrace_call(PTRACE_INTERRUPT, tid, 0, 0);
		return;
	}
	t->sp = k->r.general.rsp - 128; /* the red zone */
	t->tcb = k->r.general.fs_base;
	t->regs = (const uintptr_t *)&k->r;
	t->nregs = (sizeof(k->r.general) + extended.iov_len) /
		sizeof(uintptr_t);
	k->held = true;
}

/* Has it stopped? Only the helper's own tracees are waited for. */
static void look(struct traced *k)
{
	int status;
	long r = sys4(SYS_wait4, k->t->tid, &status, WNOHANG | __WALL, NULL);

	if (r == 0)
		return;
	if (r != k->t->tid || !WIFSTOPPED(status)) {
		k->seized = false;
		return;
	}
	if (status >> 16 != PTRACE_EVENT_STOP)
		k->signal = WSTOPSIG(status);
	read_registers(k);
}

static void hold_all(struct trace *tr)
{
	struct timespec pause = {0, POLL_NS};
	unsigned left = 0;

	for (unsigned i = 0; i < tr->n; i++) {
		struct traced *k = &tr->v[i];

		k->seized = !sys_failed(
			ptrace_call(PTRACE_SEIZE, k->t->tid, 0, 0));
		if (k->seized)
			ptrace_call(PTRACE_INTERRUPT, k->t->tid, 0, 0);
		left += k->seized;
	}
	while (left && clock_mono_ns() < tr->until_ns) {
		left = 0;
		for (unsigned i = 0; i < tr->n; i++) {
			struct traced *k = &tr->v[i];

			if (k->seized && !k->held)
				look(k);
			left += k->seized && !k->held;
		}
		if (left)
			sys2(SYS_nanosleep, &pause, NULL);
	}
}

static void say(struct trace *tr, uint32_t state)
{
	/* release [trace]: registers and entries are filled in. */
	store_release(&tr->state, state);
	sys3(SYS_futex, &tr->state, FUTEX_WAKE_PRIVATE, 1);
}

static void wait_while(struct trace *tr, uint32_t state)
{
	/* acquire [trace]: pairs with say(). */
	while (load_acquire(&tr->state) == state)
		sys4(SYS_futex, &tr->state, FUTEX_WAIT_PRIVATE, state, NULL);
}

/* The helper. */
static int tracer(void *arg)
{
	struct trace *tr = arg;

	sys2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	wait_while(tr, TRACE_NEW);
	hold_all(tr);
	say(tr, TRACE_HELD);
	wait_while(tr, TRACE_HELD);
	for (unsigned i = 0; i < tr->n; i++)
		if (tr->v[i].seized)
			ptrace_call(PTRACE_DETACH, tr->v[i].t->tid, 0,
				tr->v[i].signal);
	return 0;
}

static bool start(struct trace *tr)
{
	unsigned long flags = CLONE_VM | CLONE_FILES | CLONE_FS |
		CLONE_UNTRACED;
	char *top = (char *)tr + tr->bytes;
	long pid = rawclone(flags, top, tracer, tr);

	if (sys_failed(pid))
		return false;
	tr->pid = (int)pid;
	/*
	 * Yama: only who is named may trace us. There is one such name and it
	 * can't be read, so one that the program has given is lost; threads
	 * that block 33 are rarer than programs that name somebody.
	 */
	sys2(SYS_prctl, PR_SET_PTRACER, pid);
	say(tr, TRACE_WORKING);
	return true;
}

/* It may have been killed: nobody would say TRACE_HELD. */
static void wait_for_tracer(struct trace *tr)
{
	struct timespec pause = {0, 10000000};

	/* acquire [trace]: pairs with say(). */
	while (load_acquire(&tr->state) == TRACE_WORKING) {
		sys4(SYS_futex, &tr->state, FUTEX_WAIT_PRIVATE, TRACE_WORKING,
			&pause);
		if (sys4(SYS_wait4, tr->pid, NULL, WNOHANG | __WALL, NULL)) {
			tr->pid = 0;
			return;
		}
	}
}

void stw_trace(struct stw_thread **v, unsigned n, int64_t limit_ns)
{
	struct trace *tr;
	size_t bytes;

	n = MIN(n, (unsigned)MAX_TRACED);
	bytes = ALIGN_UP(sizeof(*tr) + n * sizeof(tr->v[0]) + STACK,
		(size_t)OS_PAGE);
	tr = n ? sysmem_map(NULL, bytes, SYS_GC) : NULL;
	if (!tr)
		return;
	tr->next = traces;
	traces = tr;
	tr->bytes = bytes;
	tr->n = n;
	for (unsigned i = 0; i < n; i++)
		tr->v[i].t = v[i];
	tr->until_ns = clock_mono_ns() + limit_ns;
	if (start(tr))
		wait_for_tracer(tr);
}

void stw_trace_release(void)
{
	while (traces) {
		struct trace *tr = traces;

		if (tr->pid) {
			say(tr, TRACE_LET_GO);
			sys4(SYS_wait4, tr->pid, NULL, __WALL, NULL);
		}
		traces = tr->next;
		sysmem_unmap(tr, tr->bytes, SYS_GC);
	}
}
