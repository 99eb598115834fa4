/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_SERVE_H
#define GOSTAT_PRELOAD_SERVE_H

#include "base/attrs.h"

/*
 * The socket, the trace and the helper's cycles in the life of a process. What
 * no variable asks for is not begun.
 */

void serve_init(char **envp); /* at load */
bool serve_needed(void);      /* is there anything to begin? */
void serve_begin(void);	      /* libc is up, main is about to run */
void serve_child(void);	      /* in the child of fork, last */
void serve_end(void);	      /* the process ends */
void serve_end_now(void);     /* ditto, maybe in a signal handler */

#endif
