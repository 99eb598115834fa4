/* SPDX-License-Identifier: MIT */
/*
 * aio: the kernel's requests by the functions of libaio, which makes its system
 * calls itself; and by syscall() (rawcall.c).
 *
 *	io_submit	what is on its way is noted: request, and its data
 *	io_getevents	waits, so it is parked (park.c); what it brings is no
 *	io_pgetevents	longer on its way
 *	io_destroy	nor is anything of that context
 *
 * Like libaio's they return -errno and leave errno alone. They are no more than
 * system calls, so they are made here: who has no libaio does not call them.
 *
 * What has been completed and not been fetched lies in the ring of its context,
 * which is memory of this process like any other. Who takes it from there
 * without a call keeps its objects until as many requests have come after.
 *
 * Requests are only looked at where cycles are expected: the kernel can be
 * asked to read from a wrong address and says no, we can't.
 *
 * liburing's functions, which make their calls themselves too, are not among
 * them: io_uring_wait_cqe() may end with -EINTR in a stop of the world.
 */
#include "preload/aio.h"
#include "base/options.h"
#include "base/syscall.h"
#include "gc/kernelptr.h"
#include "gc/park.h"
#include "observe/gcrun.h"

static bool expected(void)
{
	return options->gc != GC_OFF && (options->leakcheck ||
		options->socket || gcrun_needed());
}

long aio_submit(unsigned long ctx, long n, struct iocb **request)
{
	bool note = expected();
	long done;

	/* Before the call: its event may be fetched before it returns. */
	for (long i = 0; note && i < n; i++)
		kernelptr_aio(ctx, (uintptr_t)request[i], request[i]->aio_data);
	done = sys3(SYS_io_submit, ctx, n, request);
	for (long i = MAX(done, 0); note && i < n; i++)
		kernelptr_aio_done((uintptr_t)request[i]);
	return done;
}

long aio_getevents(long call, unsigned long ctx, long min, long n,
	struct io_event *event, const void *time, const void *mask)
{
	const volatile void *kept[] = {event, time, mask};
	struct park *self = PARK_ENTER(kept);
	long got = sys6(call, ctx, min, n, (long)event, (long)time, (long)mask);

	park_leave(self);
	__asm__ volatile("" : : "m"(kept));
	for (long i = 0; i < got; i++)
		kernelptr_aio_done(event[i].obj);
	return got;
}

long aio_destroy(unsigned long ctx)
{
	long ret = sys1(SYS_io_destroy, ctx);

	if (ret == 0)
		kernelptr_aio_gone(ctx);
	return ret;
}

/* libaio's names; its header is not needed for them. */
int io_submit(unsigned long ctx, long n, struct iocb **request);
int io_getevents(unsigned long ctx, long min, long n, struct io_event *event,
	const struct timespec *time);
int io_pgetevents(unsigned long ctx, long min, long n, struct io_event *event,
	const struct timespec *time, const sigset_t *mask);
int io_destroy(unsigned long ctx);

API int io_submit(unsigned long ctx, long n, struct iocb **request)
{
	return (int)aio_submit(ctx, n, request);
}

API int io_getevents(unsigned long ctx, long min, long n,
	struct io_event *event, const struct timespec *time)
{
	return (int)aio_getevents(SYS_io_getevents, ctx, min, n, event, time,
		NULL);
}

API int io_pgetevents(unsigned long ctx, long min, long n,
	struct io_event *event, const struct timespec *time,
	const sigset_t *mask)
{
	const struct {
		const sigset_t *mask;
		size_t size;
	} m = {mask, _NSIG / 8};

	return (int)aio_getevents(SYS_io_pgetevents, ctx, min, n, event, time,
		&m);
}

API int io_destroy(unsigned long ctx)
{
	return (int)aio_destroy(ctx);
}
