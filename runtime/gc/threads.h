/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_THREADS_H
#define GOSTAT_GC_THREADS_H

#include "gc/stw.h"

/*
 * threads: the list of threads that a stop works on, all but the caller and the
 * library's helper. Entries never move and their memory is never given back,
 * so a signal handler that comes late still writes to an entry.
 *
 * Context: under stw.lock.
 */

/* Forget everybody. self is left out of what follows. */
void threads_reset(int self);

/*
 * Add the threads that are not in the list yet. Returns how many, or -1: /proc
 * can't be read, -2: no memory.
 */
int threads_scan(void);

extern HIDDEN unsigned threads_n;

struct stw_thread *threads_at(unsigned i);

/* The entry of a thread, or NULL. */
struct stw_thread *threads_find(int tid);

/*
 * Are gone entries and these the whole process? Cheap (a microsecond); true is
 * sure as long as nobody in the list runs, false may mean that /proc does not
 * tell.
 */
bool threads_complete(unsigned gone);

#endif
