/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_FINALTHREAD_H
#define GOSTAT_OBSERVE_FINALTHREAD_H

#include "base/attrs.h"

/*
 * finalthread: the thread that calls finalizers.
 */

/*
 * Start it unless it runs. False: the system refuses. Context: a thread of the
 * program, not in a signal handler, no lock held.
 */
bool finalthread_start(void);

/* Something is due. Context: anywhere. Without a thread it waits for one. */
void finalthread_wake(void);

/* In the child of fork: it is not there. */
void finalthread_fork_child(void);

#endif
