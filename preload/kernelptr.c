/* SPDX-License-Identifier: MIT */
/*
 * kernelptr: calls that hand an address to the kernel to keep.
 *
 *	epoll_ctl	a load and a test; noted while a cycle gets ready
 *	sigqueue, pthread_sigqueue, mq_notify	noted
 *	madvise, munmap	noted what a copy of the process will lack
 *
 * What the kernel can be asked for needs no wrapper (gc/kernelptr.c), so
 * timer_create and close have none.
 *
 * epoll_ctl, sigqueue, madvise and munmap are system calls and nothing else, so
 * they are made here. The other two know libc's data and go on to libc.
 */
#include "gc/kernelptr.h"
#include "base/atomics.h"
#include "gc/unforked.h"
#include "os/sysmem.h"
#include "base/syscall.h"
#include "preload/interpose.h"
#include "profile/stackrange.h"

#include <dlfcn.h>
#include <errno.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct next {
	int (*pthread_sigqueue)(pthread_t, int, const union sigval);
	int (*mq_notify)(mqd_t, const struct sigevent *);
} next;

void kernelptr_init(void)
{
	next.pthread_sigqueue = (int (*)(pthread_t, int,
		const union sigval))dlsym(RTLD_NEXT, "pthread_sigqueue");
	next.mq_notify = (int (*)(mqd_t, const struct sigevent *))dlsym(
		RTLD_NEXT, "mq_notify");
	dlerror(); /* an old libc has it elsewhere; nobody's business */
}

static int result(long ret)
{
	if (!sys_failed(ret))
		return (int)ret;
	errno = (int)-ret;
	return -1;
}

API int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	long ret = sys4(SYS_epoll_ctl, epfd, op, fd, event);

	if (ret == 0 && op != EPOLL_CTL_DEL)
		kernelptr_epoll(epfd, fd, event->data.u64);
	return result(ret);
}

API int sigqueue(pid_t pid, int signo, const union sigval value)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = signo;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value = value;
	if (pid == info.si_pid)
		kernelptr_signal(signo, 0, (uintptr_t)value.sival_ptr);
	return result(sys3(SYS_rt_sigqueueinfo, pid, signo, &info));
}

API int pthread_sigqueue(pthread_t t, int signo, const union sigval value)
{
	clockid_t clock;

	/* A thread's clock is made of its number. */
	if (pthread_getcpuclockid(t, &clock) == 0)
		kernelptr_signal(
			signo, ~(clock >> 3), (uintptr_t)value.sival_ptr);
	return next.pthread_sigqueue ? next.pthread_sigqueue(t, signo, value)
				     : ENOSYS;
}

API int madvise(void *p, size_t size, int advice)
{
	uintptr_t lo = (uintptr_t)p;
	uintptr_t hi = ALIGN_UP(lo + size, (uintptr_t)OS_PAGE);
	long ret = sys3(SYS_madvise, p, size, advice);

	if (ret != 0)
		return result(ret);
	if (advice == MADV_DONTFORK || advice == MADV_DOFORK ||
		advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK)
		unforked_remove(lo, hi);
	if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK)
		unforked_add(lo, hi,
			advice == MADV_DONTFORK && !stackrange_readable(lo));
	return 0;
}

API int munmap(void *p, size_t size)
{
	uintptr_t lo = (uintptr_t)p;
	uintptr_t hi = ALIGN_UP(lo + size, (uintptr_t)OS_PAGE);
	long ret;

	if (unlikely(load_relaxed(&unforked_n)))
		unforked_remove(lo, hi);
	ret = sys2(SYS_munmap, p, size);
	if (ret == 0)
		stackrange_unmapped(lo, hi);
	return result(ret);
}

API int mq_notify(mqd_t mq, const struct sigevent *event)
{
	int ret;

	if (!next.mq_notify) {
		errno = ENOSYS;
		return -1;
	}
	ret = next.mq_notify(mq, event);
	if (ret == 0)
		kernelptr_mq((int)mq,
			event ? (uintptr_t)event->sigev_value.sival_ptr : 0);
	return ret;
}
