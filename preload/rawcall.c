/* SPDX-License-Identifier: MIT */
/*
 * rawcall: system calls by number. Rust, Node and Chromium make some of theirs
 * by syscall(); what is done for a call's name is done for its number.
 *
 *	syscall(n, ...) --> rawcall_kind[n]
 *	                      PLAIN --jump--> libc's
 *	                      WAITS --------> park_syscall()	park.c
 *	                      NOTED --------> rawcall_noted()	the wrapper of
 *	                                      that name, or a note behind the call
 *
 * Six arguments are passed on, whatever a call has: they are in registers and
 * on the stack as they were, and what stands in those that the caller has not
 * filled is nobody's business. errno is set as libc does it.
 *
 * What a note is taken of has happened: the kernel has read what the arguments
 * point to, so it can be read here. Until then the value is where the caller
 * has it.
 *
 * Not among them: rt_sigaction, whose table survives without us (handler.c,
 * but a raw SIG_DFL ends a process unchecked), and clone and fork, after which
 * the child is a process of its own that we know nothing of.
 *
 * Rejected: a switch in C in front of every call (the arguments would have to
 * be moved to where they already are).
 */
#include "base/syscall.h"
#include "gc/kernelptr.h"
#include "preload/alone.h"
#include "preload/aio.h"
#include "preload/exit.h"
#include "preload/interpose.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PLAIN, WAITS, NOTED, NCALLS = 512 };

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

extern const char rawcall_kind[NCALLS] HIDDEN;
const char rawcall_kind[NCALLS] = {
	[SYS_read] = WAITS,
	[SYS_write] = WAITS,
	[SYS_poll] = WAITS,
	[SYS_pread64] = WAITS,
	[SYS_pwrite64] = WAITS,
	[SYS_readv] = WAITS,
	[SYS_writev] = WAITS,
	[SYS_select] = WAITS,
	[SYS_msgsnd] = WAITS,
	[SYS_msgrcv] = WAITS,
	[SYS_pause] = WAITS,
	[SYS_nanosleep] = WAITS,
	[SYS_sendfile] = WAITS,
	[SYS_connect] = WAITS,
	[SYS_accept] = WAITS,
	[SYS_sendto] = WAITS,
	[SYS_recvfrom] = WAITS,
	[SYS_sendmsg] = WAITS,
	[SYS_recvmsg] = WAITS,
	[SYS_wait4] = WAITS,
	[SYS_semop] = WAITS,
	[SYS_flock] = WAITS,
	[SYS_rt_sigtimedwait] = WAITS,
	[SYS_rt_sigsuspend] = WAITS,
	[SYS_futex] = WAITS,
	[SYS_semtimedop] = WAITS,
	[SYS_clock_nanosleep] = WAITS,
	[SYS_epoll_wait] = WAITS,
	[SYS_mq_timedsend] = WAITS,
	[SYS_mq_timedreceive] = WAITS,
	[SYS_waitid] = WAITS,
	[SYS_pselect6] = WAITS,
	[SYS_ppoll] = WAITS,
	[SYS_splice] = WAITS,
	[SYS_tee] = WAITS,
	[SYS_vmsplice] = WAITS,
	[SYS_epoll_pwait] = WAITS,
	[SYS_fallocate] = WAITS,
	[SYS_accept4] = WAITS,
	[SYS_preadv] = WAITS,
	[SYS_pwritev] = WAITS,
	[SYS_recvmmsg] = WAITS,
	[SYS_sendmmsg] = WAITS,
	[SYS_getrandom] = WAITS,
	[SYS_copy_file_range] = WAITS,
	[SYS_preadv2] = WAITS,
	[SYS_pwritev2] = WAITS,
	[SYS_io_uring_enter] = WAITS,
	[SYS_epoll_pwait2] = WAITS,
	[SYS_futex_waitv] = WAITS,

	[SYS_capset] = NOTED,
	[SYS_unshare] = NOTED,
	[SYS_setns] = NOTED,
	[SYS_munmap] = NOTED,
	[SYS_madvise] = NOTED,
	[SYS_execve] = NOTED,
	[SYS_exit] = NOTED,
	[SYS_rt_sigqueueinfo] = NOTED,
	[SYS_sigaltstack] = NOTED,
	[SYS_prctl] = NOTED,
	[SYS_exit_group] = NOTED,
	[SYS_epoll_ctl] = NOTED,
	[SYS_mq_notify] = NOTED,
	[SYS_io_submit] = NOTED,
	[SYS_io_getevents] = NOTED,
	[SYS_io_pgetevents] = NOTED,
	[SYS_io_destroy] = NOTED,
	[SYS_rt_tgsigqueueinfo] = NOTED,
	[SYS_seccomp] = NOTED,
	[SYS_execveat] = NOTED,
	[SYS_pidfd_send_signal] = NOTED,
};

typedef long call(long n, long a, long b, long c, long d, long e, long f);

/* A signal with a value that may be on its way to this process. */
static long note_signal(
	long ret, long signo, long tid, const siginfo_t *info)
{
	if (ret == 0 && info && signo > 0 && signo < _NSIG)
		kernelptr_signal((int)signo, (int)tid,
			(uintptr_t)info->si_value.sival_ptr);
	return ret;
}

/* What libc makes of the kernel's answer. */
static long answer(long ret)
{
	if (!sys_failed(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

static long note_mq(long ret, long mq, const struct sigevent *event)
{
	if (ret == 0)
		kernelptr_mq((int)mq,
			event ? (uintptr_t)event->sigev_value.sival_ptr : 0);
	return ret;
}

HIDDEN long rawcall_noted(
	long n, long a, long b, long c, long d, long e, long f);

long rawcall_noted(long n, long a, long b, long c, long d, long e, long f)
{
	call *libc = (call *)limits_real.syscall;

	switch (n) {
	case SYS_munmap:
		return munmap((void *)a, (size_t)b);
	case SYS_madvise:
		return madvise((void *)a, (size_t)b, (int)c);
	case SYS_sigaltstack:
		return sigaltstack((const stack_t *)a, (stack_t *)b);
	case SYS_epoll_ctl:
		return epoll_ctl((int)a, (int)b, (int)c,
			(struct epoll_event *)d);
	case SYS_execve:
		return execve((const char *)a, (char *const *)b,
			(char *const *)c);
	case SYS_execveat:
		return execveat((int)a, (const char *)b, (char *const *)c,
			(char *const *)d, (int)e);
	case SYS_exit_group:
		_exit((int)a);
	case SYS_exit:
		exit_of_thread((int)a);
		break;
	case SYS_seccomp:
		return seccomp_by_number(n, a, b, (void *)c);
	case SYS_capset:
		return capset((void *)a, (const void *)b);
	case SYS_unshare:
		return unshare((int)a);
	case SYS_setns:
		return setns((int)a, (int)b);
	case SYS_prctl:
		return prctl((int)a, b, c, d, e);
	case SYS_rt_sigqueueinfo:
		return note_signal(libc(n, a, b, c, d, e, f), b, 0,
			(const siginfo_t *)c);
	case SYS_rt_tgsigqueueinfo:
		return note_signal(libc(n, a, b, c, d, e, f), c, b,
			(const siginfo_t *)d);
	case SYS_pidfd_send_signal:
		return note_signal(libc(n, a, b, c, d, e, f), b, 0,
			(const siginfo_t *)c);
	case SYS_io_submit:
		return answer(aio_submit((unsigned long)a, b,
			(struct iocb **)c));
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return answer(aio_getevents(n, (unsigned long)a, b, c,
			(struct io_event *)d, (const void *)e,
			(const void *)f));
	case SYS_io_destroy:
		return answer(aio_destroy((unsigned long)a));
	case SYS_mq_notify:
		return note_mq(libc(n, a, b, c, d, e, f), a,
			(const struct sigevent *)b);
	}
	return libc(n, a, b, c, d, e, f);
}

_Static_assert(PLAIN == 0 && WAITS == 1 && NCALLS == 512, "as below");

/* Jumped to, so that a seventh argument stays where it is, too. */
API __attribute__((naked)) long syscall(long number UNUSED, ...)
{
	__asm__("	cmpq	$512, %rdi\n"
		"	jae	1f\n"
		"	leaq	rawcall_kind(%rip), %rax\n"
		"	movzbl	(%rax, %rdi), %eax\n"
		"	testl	%eax, %eax\n"
		"	jz	1f\n"
		"	cmpl	$1, %eax\n"
		"	je	park_syscall\n"
		"	jmp	rawcall_noted\n"
		"1:	jmpq	*8+limits_real(%rip)\n");
}
