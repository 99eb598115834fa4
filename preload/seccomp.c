/* SPDX-License-Identifier: MIT */
/*
 * seccomp: a program that restricts its own system calls is left in peace.
 *
 *	prctl(PR_SET_SECCOMP), seccomp(), either of them by syscall()
 *	    |
 *	clear up   the last chance to say and write anything: the leak report
 *	    |      (nobody will look), the trace; sockets are closed, the helper
 *	    |      ends, signals that end the process do so without us
 *	the call --failed--> as it was
 *	    |
 *	sandboxed: what follows is what any allocator does (os/sandbox.h)
 *
 * What a filter allows cannot be known: to ask is a system call. A call more
 * than the program was written for may be its end, at any time later: in a new
 * thread, at exit, in a signal handler. So it is all done before.
 *
 * A filter concerns the calling thread only, if not told otherwise; but threads
 * that it makes have it, and programs that restrict one thread restrict the
 * others next. The whole process counts as restricted.
 *
 * Calls that can't succeed are made and nothing else: they are how libraries
 * ask what the kernel knows (no program: EFAULT; strict with flags: EINVAL), or
 * lack the right to it (EACCES).
 *
 * In the child of vfork, and in processes made by raw clone, nothing is cleared
 * up: what is there is the parent's.
 *
 * Rejected: trying calls in a child, which has the filter too and dies in our
 * place. To make a child is what filters like least.
 */
#include "base/syscall.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/finalthread.h"
#include "observe/httpd.h"
#include "observe/tracefile.h"
#include "os/sandbox.h"
#include "preload/alone.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"
#include "preload/serve.h"
#include "preload/signal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The kernel's answer will be EACCES. */
static bool lacks_right(void)
{
	return sys0(SYS_geteuid) != 0 &&
		sys6(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0) == 0;
}

static bool clear_up(void)
{
	if (sandboxed || !dumpfile_is_here())
		return false;
	leakcheck_restricted();
	signal_restricted();
	tracefile_end();
	httpd_stop();
	finalthread_stop();
	alone_begin(); /* the helper, and a cycle that it is at */
	return true;
}

static void set_up_again(void)
{
	leakcheck_undo();
	signal_unrestricted();
	serve_begin();
}

static long answer(long ret)
{
	if (!sys_failed(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

static long done(long ret, bool cleared, bool strict)
{
	if (!sys_failed(ret)) {
		sandboxed = strict ? SANDBOX_STRICT : SANDBOX_FILTER;
		dump_quiet();
	} else if (cleared) {
		set_up_again();
	}
	return answer(ret);
}

int seccomp_by_prctl(int option, long mode, long b, long c, long d)
{
	bool strict = mode == SECCOMP_MODE_STRICT;
	bool works = strict ||
		(mode == SECCOMP_MODE_FILTER && b && !lacks_right());
	bool cleared = works && clear_up();

	return (int)done(sys6(SYS_prctl, option, mode, b, c, d, 0), cleared,
		strict);
}

long seccomp_by_number(long n, long op, long flags, void *args)
{
	bool strict = op == SECCOMP_SET_MODE_STRICT, cleared;

	if (!strict && op != SECCOMP_SET_MODE_FILTER)
		return answer(sys3(n, op, flags, args)); /* a question */
	cleared = (strict ? !flags && !args : args && !lacks_right()) &&
		clear_up();
	return done(sys3(n, op, flags, args), cleared, strict);
}

_Static_assert(PR_SET_SECCOMP == 22, "as below");

/*
 * Takes any number of arguments and is jumped to, like dlopen, so that they
 * arrive as they are.
 */
API __attribute__((naked)) int prctl(int option UNUSED, ...)
{
	__asm__("	cmpl	$22, %edi\n"
		"	je	seccomp_by_prctl\n"
		"	cmpl	$8, %edi\n"
		"	je	alone_prctl\n"
		"	cmpl	$24, %edi\n"
		"	je	alone_prctl\n"
		"	cmpl	$28, %edi\n"
		"	je	alone_prctl\n"
		"	cmpl	$47, %edi\n"
		"	je	alone_prctl\n"
		"	jmpq	*0+limits_real(%rip)\n");
}
