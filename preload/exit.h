/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_EXIT_H
#define GOSTAT_PRELOAD_EXIT_H

/* Ways out of the process, see exit.c and exec.c. At load; dlsym() works. */
void exit_init(void);
void exec_init(void);

/*
 * The last exit handler has come to its end. Does not come back if another
 * status is to replace the program's.
 */
void exit_after_handlers(void);
void exit_after_quick_handlers(void);

/*
 * syscall(SYS_exit) is about to be made. Comes back if the process goes on, or
 * may end as it would.
 */
void exit_of_thread(int status);

#endif
