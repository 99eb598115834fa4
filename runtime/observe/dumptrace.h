/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_DUMPTRACE_H
#define GOSTAT_OBSERVE_DUMPTRACE_H

#include "base/attrs.h"

/*
 * The action trace: the first request starts a recording, the second ends it.
 * See dumptrace.c.
 */

/* Does the environment ask for it? Then there must be a helper. */
bool dumptrace_wanted(void);

/* Set the hook for dump.c. At load. */
void dumptrace_init(void);

/*
 * The helper thread, and the recording from the start that GOSTAT_ATEXIT=trace
 * means; child: only if its file has a name of its own. Context: the program's
 * main is about to run, or goes on in the child of fork.
 */
void dumptrace_begin(bool child);

#endif
