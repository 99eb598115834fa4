/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_JOBSTACK_H
#define GOSTAT_GC_JOBSTACK_H

#include "base/attrs.h"

/*
 * jobstack: call fn(arg) on a stack of the library's own, and return what it
 * returned. If there is no memory for one, on this stack.
 *
 * A collector that runs on a stack of the program's leaves addresses of objects
 * there, in its own frames, while it scans. Below the stack pointer of a thread
 * nothing counts; but a coroutine's stack is memory like any other, a mapping
 * or an object, and is scanned from end to end when something leads to it.
 *
 * Context: as sysmem_map().
 */
int jobstack_call(int (*fn)(void *arg), void *arg);

#endif
