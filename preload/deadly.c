/* SPDX-License-Identifier: MIT */
/*
 * deadly: see the header.
 *
 * The handler runs on the stack that was interrupted, so that all registers (the
 * kernel has put them there) and all frames lie in one piece. Where there is no room even for the kernel's frame the process dies at
 * once, of the same signal if that was the fault; nobody has looked then, and
 * nobody says so but the absence of a report.
 *
 * A signal from outside may come in the middle of the allocator, whose tables
 * are not whole then and whose locks are held by this thread. It is sent again
 * by a timer, until it finds the thread elsewhere. A fault in the allocator, or
 * an abort() from it, is no matter of patience; the report says what happened.
 */
#include "preload/deadly.h"
#include "base/syscall.h"
#include "os/sandbox.h"
#include "preload/leakcheck.h"

#include <string.h>
#include <time.h>

enum {
	AGAIN_NS = 50000, /* most slow paths are over by then */
	TRIES = 2000,	  /* 0.1 s */
};

static uint32_t tries;

bool deadly_is_one(int signo)
{
	switch (signo) {
	case SIGKILL:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
		return false;
	default: /* libc has those between for itself */
		return signo <= SIGSYS || signo >= SIGRTMIN;
	}
}

bool deadly_is_fault(int signo, const siginfo_t *info)
{
	return info->si_code > 0 &&
	       (signo == SIGSEGV || signo == SIGBUS || signo == SIGILL ||
		       signo == SIGFPE);
}

static bool is_own(const siginfo_t *info)
{
	return (info->si_code == SI_USER || info->si_code == SI_TKILL ||
		       info->si_code == SI_QUEUE) &&
	       info->si_pid == (pid_t)sys0(SYS_getpid);
}

/* Have it sent to this thread again. */
static bool again(int signo)
{
	struct itimerspec when = {.it_value.tv_nsec = AGAIN_NS};
	struct sigevent e;
	int timer;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_THREAD_ID;
	e.sigev_signo = signo;
	e._sigev_un._tid = (int)sys0(SYS_gettid);
	if (tries++ >= TRIES ||
		sys_failed(sys3(
			SYS_timer_create, CLOCK_MONOTONIC, &e, &timer)))
		return false;
	/* One-shot; it goes with the process. */
	return !sys_failed(sys4(SYS_timer_settime, timer, 0, &when, NULL));
}

bool deadly_end(int signo, const siginfo_t *info)
{
	if (!leakcheck_on() || sandboxed || !leakcheck_is_here())
		return true;
	if (leakcheck_is_busy() && !deadly_is_fault(signo, info) &&
		!is_own(info) && again(signo))
		return false;
	leakcheck_end();
	return true;
}
