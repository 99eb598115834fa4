/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_AIO_H
#define GOSTAT_PRELOAD_AIO_H

#include "base/attrs.h"

#include <linux/aio_abi.h>
#include <signal.h>
#include <time.h>

/*
 * The system calls of that name, with notes of what the kernel has. They return
 * what the kernel does: -errno. Context: anywhere.
 */
long aio_submit(unsigned long ctx, long n, struct iocb **request);
long aio_destroy(unsigned long ctx);

/* call: SYS_io_getevents, which takes no mask, or SYS_io_pgetevents. */
long aio_getevents(long call, unsigned long ctx, long min, long n,
	struct io_event *event, const void *time, const void *mask);

#endif
