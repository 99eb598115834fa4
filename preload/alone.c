/* SPDX-License-Identifier: MIT */
/*
 * alone: calls that mind a second thread, and our helper is one.
 *
 *	unshare, setns		the kernel refuses them to a process of several
 *				threads (user and mount namespaces)
 *	capset, prctl		change the caller only. Later libc's setuid(),
 *	(KEEPCAPS, ...)		which wants the same answer from all threads, gets two
 *				and aborts; and root's rights would stay in the
 *				process after it has given them up
 *
 * A program of one thread has done nothing wrong with any of these. So the
 * helper leaves before the call and is made anew after it, by the caller and so
 * with what the caller is now. Before seccomp it leaves for ever (seccomp.c).
 *
 * What goes by way of syscall() is seen, too (rawcall.c). What a program does
 * without libc is not.
 *
 * Rejected: to start the helper with the first cycle only. Then it would be
 * malloc that creates a thread, with any lock held; and a program that has had
 * a cycle would still be refused.
 */
#include "preload/alone.h"
#include "observe/gcrun.h"
#include "os/sandbox.h"
#include "preload/interpose.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/prctl.h>

typedef int unshare_fn(int flags);
typedef int setns_fn(int fd, int type);

static unshare_fn *next_unshare;
static setns_fn *next_setns;
static capset_fn *next_capset;

void alone_init(void)
{
	next_unshare = (unshare_fn *)dl_next("unshare");
	next_setns = (setns_fn *)dl_next("setns");
	next_capset = (capset_fn *)dl_next("capset");
}

bool alone_begin(void)
{
	return gcrun_pause();
}

void alone_end(bool left)
{
	if (left && !sandboxed)
		gcrun_resume();
}

API int unshare(int flags)
{
	bool left;
	int ret;

	if (unlikely(!next_unshare))
		alone_init();
	left = alone_begin();
	ret = next_unshare(flags);
	alone_end(left);
	return ret;
}

API int setns(int fd, int type)
{
	bool left;
	int ret;

	if (unlikely(!next_setns))
		alone_init();
	left = alone_begin();
	ret = next_setns(fd, type);
	alone_end(left);
	return ret;
}

API int capset(void *header, const void *data)
{
	bool left;
	int ret;

	if (unlikely(!next_capset))
		alone_init();
	left = alone_begin();
	ret = next_capset(header, data);
	alone_end(left);
	return ret;
}

/* prctl() jumps here with some options (seccomp.c). */
int alone_prctl(int option, long a, long b, long c, long d)
{
	typedef int call(int, long, long, long, long);
	bool left = alone_begin();
	int ret = ((call *)limits_real.prctl)(option, a, b, c, d);

	alone_end(left);
	return ret;
}

_Static_assert(PR_SET_KEEPCAPS == 8 && PR_CAPBSET_DROP == 24 &&
		PR_SET_SECUREBITS == 28 && PR_CAP_AMBIENT == 47,
	"as in seccomp.c");
