/* SPDX-License-Identifier: MIT */
/*
 * birth: threads and processes that share memory with the one that makes them.
 *
 *	pthread_create	what the new thread is given lies on a stack that no
 *	thrd_create	thread has yet: a stop in between has to know. And who
 *			asks later where threads come from (threadinfo.h)
 *	vfork		the child runs in its parent's memory, on its stack and
 *			with its thread-local storage, while the parent waits
 *	clone		either of these, or a thread that is left without a
 *			thread-local storage of its own
 *	sigaltstack	a stack of the program's that may be in use
 *
 * A child of vfork calls read and close like anybody, but is no thread of this
 * process: it must neither look parked in its parent's record nor wait for a
 * world that is not its own. So it is given a record that nobody looks at. The
 * parent, which no signal reaches, is parked with its registers in its own.
 *
 * The child returns from vfork first, and pushes what it likes over what the
 * parent has left on the stack. So what the parent needs is in registers that
 * the kernel keeps: as in libc, the return address is one of them.
 *
 * Raw system calls for the same do not come through here.
 */
#include "gc/park.h"
#include "base/syscall.h"
#include "observe/helper.h"
#include "preload/interpose.h"
#include "profile/threadinfo.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <threads.h>
#include <unistd.h>

typedef int clone_fn(int (*fn)(void *), void *stack, int flags, void *arg,
	...);

/* What comes next: libc, or another library like us. */
static struct {
	int (*create)(pthread_t *t, const pthread_attr_t *attr,
		void *(*fn)(void *), void *arg);
	int (*thrd)(thrd_t *t, thrd_start_t fn, void *arg);
	clone_fn *clone;
	int (*altstack)(const stack_t *new, stack_t *old);
} next;

void birth_init(void)
{
	next.create = (int (*)(pthread_t *, const pthread_attr_t *,
		void *(*)(void *), void *))dl_next("pthread_create");
	next.thrd = (int (*)(thrd_t *, thrd_start_t, void *))dl_next(
		"thrd_create");
	if (next.create)
		helper_create = next.create;
	next.clone = (clone_fn *)dl_next("clone");
	next.altstack = (int (*)(const stack_t *, stack_t *))dl_next(
		"sigaltstack");
}

API int pthread_create(pthread_t *t, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg)
{
	struct park *p = park_record();
	int ret;

	if (unlikely(!next.create))
		birth_init();
	if (p)
		store_relaxed(&p->creating, 1);
	ret = next.create(t, attr, fn, arg);
	if (p)
		store_relaxed(&p->creating, 0);
	if (!ret)
		threadinfo_created((uintptr_t)*t);
	return ret;
}

/* Libc's does not come through the other one. */
API int thrd_create(thrd_t *t, thrd_start_t fn, void *arg)
{
	struct park *p = park_record();
	int ret;

	if (unlikely(!next.thrd))
		birth_init();
	if (p)
		store_relaxed(&p->creating, 1);
	ret = next.thrd(t, fn, arg);
	if (p)
		store_relaxed(&p->creating, 0);
	if (ret == thrd_success)
		threadinfo_created((uintptr_t)*t);
	return ret;
}

API int sigaltstack(const stack_t *new, stack_t *old)
{
	int ret;

	if (unlikely(!next.altstack))
		birth_init();
	ret = next.altstack(new, old);
	if (ret || !new)
		return ret;
	if (new->ss_flags & SS_DISABLE)
		park_altstack(0, 0);
	else
		park_altstack((uintptr_t)new->ss_sp,
			(uintptr_t)new->ss_sp + new->ss_size);
	return 0;
}

/* Shared memory, and the same thread-local storage. */
static bool shares_tls(int flags)
{
	return flags & CLONE_VM && !(flags & CLONE_SETTLS);
}

/* The child does not come back: it calls fn on its own stack. */
API int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct park *lent = NULL;
	bool lends = shares_tls(flags) && flags & CLONE_VFORK;
	void *tls;
	pid_t *ptid, *ctid;
	va_list ap;
	int ret;

	/* As libc: they are there or not used. */
	va_start(ap, arg);
	ptid = va_arg(ap, pid_t *);
	tls = va_arg(ap, void *);
	ctid = va_arg(ap, pid_t *);
	va_end(ap);
	if (unlikely(!next.clone))
		birth_init();
	if (lends)
		lent = park_lend(NULL);
	else if (shares_tls(flags))
		park_abandon();
	ret = next.clone(fn, stack, flags, arg, ptid, tls, ctid);
	if (lends)
		park_return(lent);
	return ret;
}

/* In the parent. */
HIDDEN pid_t vfork_returns(struct park *p, long ret);

pid_t vfork_returns(struct park *p, long ret)
{
	park_return(p);
	if (!sys_failed(ret))
		return (pid_t)ret;
	errno = (int)-ret;
	return -1;
}

_Static_assert(SYS_vfork == 58 && PARK_NREGS == 6, "as below");

#define PUSH(reg) "	pushq	%" #reg "\n	.cfi_adjust_cfa_offset 8\n"

/*
 * The array for park_lend() is pushed from its end: the caller's stack pointer,
 * then the registers. rsi keeps the record, rdi the return address.
 */
API __attribute__((naked, returns_twice)) pid_t vfork(void)
{
	__asm__("	leaq	8(%rsp), %rax\n"
		PUSH(rax) PUSH(r15) PUSH(r14) PUSH(r13) PUSH(r12) PUSH(rbp)
		PUSH(rbx)
		"	movq	%rsp, %rdi\n"
		"	call	park_lend\n"
		"	addq	$56, %rsp\n"
		"	.cfi_adjust_cfa_offset -56\n"
		"	movq	%rax, %rsi\n"
		"	popq	%rdi\n"
		"	.cfi_adjust_cfa_offset -8\n"
		"	.cfi_register %rip, %rdi\n"
		"	movl	$58, %eax\n"
		"	syscall\n"
		"	pushq	%rdi\n"
		"	.cfi_adjust_cfa_offset 8\n"
		"	.cfi_offset %rip, -8\n"
		"	testq	%rax, %rax\n"
		"	jz	1f\n"
		"	movq	%rsi, %rdi\n"
		"	movq	%rax, %rsi\n"
		"	jmp	vfork_returns\n"
		"1:	ret\n");
}

pid_t __vfork(void);
API SAME_AS(vfork) pid_t __vfork(void);
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
API SAME_AS(clone)
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
