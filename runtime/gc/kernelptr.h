/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_KERNELPTR_H
#define GOSTAT_GC_KERNELPTR_H

#include "base/attrs.h"

struct rootset;

/*
 * kernelptr: addresses that only the kernel has, for it gives them back some
 * day. See kernelptr.c for which, and how they are found.
 *
 * All but the last two are called by whoever wraps the calls in question; lock-free,
 * any context, a load and a test where nobody collects.
 */

/* epoll_ctl() has added or modified an entry. After the call. */
void kernelptr_epoll(int epfd, int fd, uint64_t data);

/*
 * A signal with a value is about to be sent to this process, or to one thread
 * of it (tid, else 0). Before the call.
 */
void kernelptr_signal(int signo, int tid, uintptr_t value);

/* mq_notify() has registered a value, or 0: nothing any more. After it. */
void kernelptr_mq(int mq, uintptr_t value);

/*
 * A request of io_submit() is about to be on its way, with its data; it is not
 * any more; nothing of that context is.
 */
void kernelptr_aio(uint64_t ctx, uintptr_t request, uint64_t data);
void kernelptr_aio_done(uintptr_t request);
void kernelptr_aio_gone(uint64_t ctx);

/*
 * Add what is known (words, ROOT_KERNEL): before the stop, where it may take
 * time, and in the stop, where it must be right.
 */
void kernelptr_list(struct rootset *rs);
void kernelptr_freeze(struct rootset *rs);

#endif
