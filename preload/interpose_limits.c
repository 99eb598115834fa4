/* SPDX-License-Identifier: MIT */
/*
 * interpose_limits: setrlimit and prlimit (RLIMIT_AS): reserved address space
 * shrinks to fit.
 *
 * The table of page codes is reserved for a heap of a size that few have, and
 * address space is what RLIMIT_AS counts: under a low limit the program could
 * not map what it can without us.
 *
 * Here is also where the next prctl and syscall are looked up, which seccomp.c
 * and rawcall.c jump to.
 */
#include "preload/interpose.h"
#include "alloc/arena.h"
#include "alloc/mheap.h"
#include "base/syscall.h"

#include <dlfcn.h>
#include <errno.h>
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
