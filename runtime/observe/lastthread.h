/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_LASTTHREAD_H
#define GOSTAT_OBSERVE_LASTTHREAD_H

#include "base/attrs.h"

/*
 * From now on the process ends when the program's last thread ends, although
 * the helper is still there. Context: the helper, when it starts; mask is that
 * of the thread that has made it.
 */
void lastthread_watch(uint64_t mask);

/* In the child of fork, which has no helper yet. */
void lastthread_fork_child(void);

#endif
