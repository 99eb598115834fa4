/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_GCRUN_H
#define GOSTAT_OBSERVE_GCRUN_H

#include "observe/metrics.h"

/*
 * gcrun: cycles that no thread of the program waits for; on the helper.
 */

/* At load: who is told of cycles. Starts nothing. */
void gcrun_init(void);

/*
 * Do the options ask for such cycles (GOGC, GOSTAT_GC=reclaim, gc or leaks in
 * GOSTAT_SIGNAL)? Then gcrun_start() is called before main and in the child of
 * a fork. It starts the helper; false: there can be none. Context: as for
 * helper_start().
 */
bool gcrun_needed(void);
bool gcrun_start(void);

/*
 * The helper goes away for a while, or for good; a cycle that was under way is
 * given up. False: there is none. gcrun_resume() starts it again. Context: as
 * for helper_stop().
 */
bool gcrun_pause(void);
void gcrun_resume(void);

/*
 * A limit has changed: a cycle may be due. With GOSTAT_GC=reclaim the helper is
 * there. Context: anywhere.
 */
void gcrun_look(void);

/*
 * Begin a full cycle, or join one that has not begun yet; the ticket is given
 * to gcrun_done() until that says yes. leaks: sort and keep what is found, also
 * when it is going to be reclaimed. Context: the helper.
 */
uint64_t gcrun_ask(bool leaks);
bool gcrun_done(uint64_t ticket);

/* Why the last cycle had no result, or NULL. Context: the helper. */
const char *gcrun_error(void);

/*
 * The process ends: from now on the actions gc and leaks are carried out where
 * they are asked for, since nobody would wait for the helper.
 */
void gcrun_at_end(void);

/* Cycles, pauses, leaks. */
void gcrun_metrics(struct metrics *m);

/* In the child of fork, when helper_child() has run. */
void gcrun_fork_child(void);

#endif
