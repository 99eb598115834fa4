/* SPDX-License-Identifier: MIT */
/*
 * stw_proc: what /proc says of a thread that does not answer.
 *
 *	/proc/self/task/TID/status	State: and SigBlk:
 *	/proc/self/task/TID/syscall	NR A1 .. A6 SP PC, or "running"
 *	/proc/self/task/TID/schedstat	nanoseconds on a CPU, and more
 *
 * A thread that the kernel holds where no signal reaches it (the parent of a
 * vfork, a read from a dead file server, one that a debugger has stopped) is at
 * rest as long as our signal waits for it unblocked: it enters our handler
 * before it executes anything else. Where its stack pointer is, the kernel
 * tells; what its callee-saved registers hold, it does not.
 *
 * Libc blocks all signals where a thread begins and around posix_spawn. On a
 * busy machine it can be long until such a thread gets a CPU to unblock them,
 * so one that wants to run counts as refusing the signal only when it has run
 * in vain. In posix_spawn it waits for its child like the parent of a vfork, and
 * unblocks them behind that, still in libc.
 */
#include "gc/stw_ways.h"
#include "os/procfile.h"
#include "os/syscall.h"

#include <errno.h>
#include <string.h>

enum {
	NREGS = 8, /* arguments, stack pointer, program counter */
	IN_VAIN_NS = 1000000, /* longer than anything libc does meanwhile */
};

/* The text behind a label at the start of a line; "" if there is none. */
static const char *field(const char *text, const char *label)
{
	const char *at = text;
	size_t n = strlen(label);

	while (at && strncmp(at, label, n)) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return "";
	at += n;
	return at + strspn(at, " \t");
}

/* Hexadecimal digits, with or without 0x; *s moves behind them. */
static uint64_t hex(const char **s)
{
	uint64_t v = 0;

	if (!strncmp(*s, "0x", 2))
		*s += 2;
	for (;; (*s)++) {
		if (**s >= '0' && **s <= '9')
			v = v << 4 | (uint64_t)(**s - '0');
		else if (**s >= 'a' && **s <= 'f')
			v = v << 4 | (uint64_t)(**s - 'a' + 10);
		else
			return v;
	}
}

/* Decimal digits. */
static uint64_t number(const char *s)
{
	uint64_t v = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	return v;
}

/* Has it had a CPU since it was first seen here? Who can't tell says yes. */
static bool ran_in_vain(struct stw_thread *t)
{
	char text[64];
	uint64_t ran;

	if (!procfile_read_task(t->tid, "schedstat", text, sizeof(text)))
		return true;
	ran = number(text) + 1;
	if (!t->ran_ns)
		t->ran_ns = ran;
	return ran - t->ran_ns >= IN_VAIN_NS;
}

/*
 * Where and with what the thread is in the kernel, and in which call; false: it
 * runs.
 */
static bool read_syscall(struct stw_thread *t, long *call)
{
	char text[256];
	const char *s = text;
	uintptr_t word[NREGS];
	unsigned n = 0;

	if (!procfile_read_task(t->tid, "syscall", text, sizeof(text)))
		return false;
	*call = (long)number(s);
	s = strchr(s, ' ');
	while (s && n < NREGS) {
		s += strspn(s, " ");
		if (strncmp(s, "0x", 2))
			break;
		word[n++] = hex(&s);
	}
	/* Outside of a system call there are no arguments: "-1 SP PC". */
	if (n != NREGS && n != NREGS - NELEM(t->args))
		return false;
	t->sp = word[n - 2];
	t->pc = word[n - 1];
	t->regs = t->args;
	t->nregs = n - 2;
	memcpy(t->args, word, t->nregs * sizeof(word[0]));
	return true;
}

/*
 * Libc registers the list of robust mutexes that a thread descriptor holds, and
 * the kernel tells the address to every thread of the process.
 */
uintptr_t stw_proc_tcb(int tid)
{
	uintptr_t mine = 0, theirs = 0;
	size_t len;

	if (sys_failed(sys3(SYS_get_robust_list, 0, &mine, &len)) || !mine ||
		sys_failed(sys3(SYS_get_robust_list, tid, &theirs, &len)) ||
		!theirs)
		return 0;
	return theirs - (mine - (uintptr_t)__builtin_thread_pointer());
}

/* The calls in which a parent waits until its child has memory of its own. */
static bool makes_a_process(long call)
{
	return call == SYS_clone || call == SYS_vfork || call == SYS_clone3;
}

enum stw_state stw_proc_look(struct stw_thread *t)
{
	char text[2048], state;
	bool masked, deaf;
	const char *s;
	long call;

	if (sys3(SYS_tgkill, sys0(SYS_getpid), t->tid, 0) == -ESRCH)
		return STW_IS_GONE;
	if (!procfile_read_task(t->tid, "status", text, sizeof(text)))
		return STW_IS_COMING;
	state = *field(text, "State:");
	s = field(text, "SigBlk:");
	masked = hex(&s) >> (STW_SIGNO - 1) & 1;
	deaf = state == 'D' || state == 'T' || state == 't';
	if (state == 'Z' || state == 'X')
		return STW_IS_ZOMBIE;
	if (masked && state == 'R')
		return ran_in_vain(t) ? STW_IS_MASKED : STW_IS_COMING;
	if (masked && !deaf)
		return STW_IS_MASKED;
	if (!deaf || !read_syscall(t, &call))
		return STW_IS_COMING;
	if (masked && !makes_a_process(call))
		return STW_IS_MASKED;
	t->tcb = stw_proc_tcb(t->tid);
	return STW_IS_BLOCKED;
}
