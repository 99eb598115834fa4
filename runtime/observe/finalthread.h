/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_FINALTHREAD_H
#define GOSTAT_OBSERVE_FINALTHREAD_H

#include "base/attrs.h"

/*
 * finalthread: the thread that calls finalizers, and other functions of the
 * program's that nobody else should wait for.
 */

/*
 * Start it unless it runs. False: the system refuses. Context: a thread of the
 * program, not in a signal handler, no lock held.
 */
bool finalthread_start(void);

/* Something is due. Context: anywhere. Without a thread it waits for one. */
void finalthread_wake(void);

/* Call fn there, too, each time that it is woken. */
void finalthread_also(void (*fn)(void));

/* Is it there? */
bool finalthread_running(void);

/*
 * End it and wait for that; a function of the program's is waited for.
 * Context: as for finalthread_start(), not the thread itself.
 */
void finalthread_stop(void);

/* In the child of fork: it is not there. */
void finalthread_fork_child(void);

#endif
