/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_DEADLY_H
#define GOSTAT_PRELOAD_DEADLY_H

#include "base/attrs.h"

#include <signal.h>

/*
 * deadly: leaks are looked for before a signal ends the process.
 */

/* Does the default action of signo end a process that could look before? */
bool deadly_is_one(int signo);

/* Is it a fault that happens again when the handler returns? */
bool deadly_is_fault(int signo, const siginfo_t *info);

/*
 * signo is about to end the process. True: let it. False: it interrupted the
 * allocator, and has been asked to come again in a moment.
 * Context: the handler, on the stack that was interrupted, signals blocked.
 */
bool deadly_end(int signo, const siginfo_t *info);

#endif
