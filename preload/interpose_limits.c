/* SPDX-License-Identifier: MIT */
/*
 * interpose_limits: calls by which a program restricts itself.
 *
 *	setrlimit, prlimit (RLIMIT_AS)	reserved address space shrinks to fit
 *	prctl, syscall (seccomp)	the library goes quiet: os/sandbox.h
 *
 * The table of page codes is reserved for a heap of a size that few have, and
 * address space is what RLIMIT_AS counts: under a low limit the program could
 * not map what it can without us.
 *
 * prctl takes any number of arguments and is jumped to, like dlopen, so that
 * they arrive as they are. syscall() is in rawcall.c.
 */
#include "preload/interpose.h"
#include "alloc/arena.h"
#include "alloc/mheap.h"
#include "observe/dump.h"
#include "os/sandbox.h"
#include "base/options.h"
#include "base/syscall.h"
#include "preload/alone.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static long fail(long ret)
{
	if (!sys_failed(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

/* For calls from constructors that run before limits_init(). */
static int early_prctl(int option, long a, long b, long c, long d)
{
	return (int)fail(sys6(SYS_prctl, option, a, b, c, d, 0));
}

static long early_syscall(long n, long a, long b, long c, long d, long e,
	long f)
{
	return fail(sys6(n, a, b, c, d, e, f));
}

struct limits_real limits_real = {
	(void *)early_prctl, (void *)early_syscall};

void limits_init(void)
{
	limits_real.prctl = dlsym(RTLD_NEXT, "prctl");
	limits_real.syscall = dlsym(RTLD_NEXT, "syscall");
}

/* The limit is in force for us. */
static void limited(pid_t pid, int resource, const struct rlimit *new)
{
	if (!new || resource != RLIMIT_AS || (pid != 0 && pid != getpid()) ||
		!mheap_init())
		return;
	lock(&mheap.lock);
	arena_shed(new->rlim_cur);
	unlock(&mheap.lock);
}

API int prlimit(pid_t pid, __rlimit_resource_t resource,
	const struct rlimit *new, struct rlimit *old)
{
	long ret = fail(sys4(SYS_prlimit64, pid, resource, new, old));

	if (ret == 0)
		limited(pid, (int)resource, new);
	return (int)ret;
}

API int setrlimit(__rlimit_resource_t resource, const struct rlimit *new)
{
	return prlimit(0, resource, new, NULL);
}

_Static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "one type");

API int prlimit64(pid_t pid, __rlimit_resource_t resource,
	const struct rlimit64 *new, struct rlimit64 *old)
	__attribute__((alias("prlimit")));
API int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *new)
	__attribute__((alias("setrlimit")));

/* The answer of a call after which not one more is made than needed. */
static long restricted(long ret, bool strict)
{
	if (sys_failed(ret))
		return fail(ret);
	sandboxed = strict ? SANDBOX_STRICT : SANDBOX_FILTER;
	dump_quiet();
	return ret;
}

/*
 * The helper must be gone before: in strict mode its being there would keep the
 * process from ending, and a filter may hold for all threads. Who serves a
 * socket keeps it under a filter that does not.
 */
static bool prepare(bool strict, long flags)
{
	return (strict || !options->socket ||
		       flags & SECCOMP_FILTER_FLAG_TSYNC) &&
	       alone_begin();
}

int limits_prctl_seccomp(int option, long mode, long b, long c, long d)
{
	bool strict = mode == SECCOMP_MODE_STRICT, left = prepare(strict, 0);
	long ret =
		restricted(sys6(SYS_prctl, option, mode, b, c, d, 0), strict);

	alone_end(left);
	return (int)ret;
}

long limits_seccomp(long n, long op, long flags, void *args)
{
	bool strict = op == SECCOMP_SET_MODE_STRICT, left;
	long ret;

	if (!strict && op != SECCOMP_SET_MODE_FILTER)
		return fail(sys3(n, op, flags, args)); /* a question */
	left = prepare(strict, flags);
	ret = restricted(sys3(n, op, flags, args), strict);
	alone_end(left);
	return ret;
}

_Static_assert(PR_SET_SECCOMP == 22, "as below");

API __attribute__((naked)) int prctl(int option UNUSED, ...)
{
	__asm__("	cmpl	$22, %edi\n"
		"	je	limits_prctl_seccomp\n"
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
