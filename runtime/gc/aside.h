/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_ASIDE_H
#define GOSTAT_GC_ASIDE_H

#include "base/attrs.h"

/*
 * aside: call fn(arg) on a stack of ours. While it runs this thread's own stack
 * is in use from aside_sp on, for who looks for roots; all registers of the
 * callers lie there. A call within such a call is just a call, and so is one
 * for which there is no memory. In registers that a call may change nothing of
 * fn's is left.
 */
void aside_call(void (*fn)(void *arg), void *arg);

/* 0: this thread is not on a stack of ours. */
extern HIDDEN THREAD_LOCAL uintptr_t aside_sp;

#endif
