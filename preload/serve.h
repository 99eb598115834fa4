/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_SERVE_H
#define GOSTAT_PRELOAD_SERVE_H

/* The socket in the life of a process. Without GOSTAT_SOCKET all do nothing. */

void serve_init(char **envp); /* at load */
void serve_begin(void);	      /* libc is up, main is about to run */
void serve_child(void);	      /* in the child of fork, last */
void serve_end(void);	      /* the process ends */

#endif
