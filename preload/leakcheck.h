/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_LEAKCHECK_H
#define GOSTAT_PRELOAD_LEAKCHECK_H

#include "base/attrs.h"

/*
 * leakcheck: look for leaks, say what was found, and which exit status stands
 * for it. See leakcheck.c.
 */

/* LeakSanitizer's options and all suppressions. At load, after options. */
void leakcheck_init(void);

/* In the child of fork: its own end is to be checked. */
void leakcheck_postfork_child(void);

/* GOSTAT_LEAKCHECK=exit; whether or not the end of this process is checked. */
bool leakcheck_on(void);

/* Will the report of the end go to stderr? After leakcheck_init(). */
bool leakcheck_says(void);

/*
 * Is this the process that was loaded, or forked from it? A child of vfork or
 * of a bare clone lives in its parent's memory, and is not.
 */
bool leakcheck_is_here(void);

/*
 * The process ends now: look and report, once. Returns the exit status that is
 * to replace the program's, or -1: keep it. Other threads run again afterwards.
 * errno, signal mask: unchanged.
 *
 * Context: anywhere, with some hundred bytes of stack; inside the allocator it
 * can only say so.
 */
int leakcheck_end(void);

/* The same, before an exec of that file. */
int leakcheck_exec(const char *file);

/* An exec before which leakcheck_exec() was called has failed. */
void leakcheck_undo(void);

/*
 * A check in the middle, for LeakSanitizer's interface: true if there were
 * leaks, and they have been reported. last: it stands for the one at the end.
 */
bool leakcheck_now(bool last);

/* Exit status for leaks, or -1: the program's own. */
int leakcheck_status(void);

/* Is this thread between two steps of the allocator? Then it can't look. */
bool leakcheck_is_busy(void);

/*
 * The program is about to restrict its system calls, after which nobody can
 * look: say so now. leakcheck_undo(): it has failed to.
 */
void leakcheck_restricted(void);

#endif
