/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_LAUNCH_H
#define GOSTAT_TOOLS_LAUNCH_H

/*
 * Starting somebody else's program with the library in it, and being out of
 * its way while it runs.
 */

#include "base/attrs.h"

#include <sys/types.h>

/*
 * Make a folder that only this user (and processes that root has started, if
 * we are root) can write to, below $TMPDIR or /tmp. It is removed with all
 * that is in it by launch_remove_folder(). NULL: it has been said why.
 */
char *launch_folder(void);
void launch_remove_folder(char *folder);

/*
 * Put the library in front of LD_PRELOAD, in this process's environment. The
 * loader splits at colons and blanks: a path that has one is linked to in the
 * folder. False: it has been said why.
 */
bool launch_preload(const char *folder);

/*
 * Start argv (found by PATH). The process id; or -1, and errno says why it
 * can't be executed. From now on signals sent to this process go on to it. If
 * pid_variable is not NULL, that variable of its environment tells its id.
 */
pid_t launch_start(char **argv, const char *pid_variable);

/*
 * Wait until the process has ended; returns its wait status. With all, wait
 * for its descendants too, those that it has left behind included.
 */
int launch_wait(pid_t pid, bool all);

/* End as the process has ended: by the same status, or the same signal. */
int launch_status(int wait_status);

/*
 * Why the loader would not load the library into this program, or NULL if
 * nothing is known against it. It is looked up in PATH; scripts stand for
 * their interpreter. To be freed.
 */
char *launch_obstacle(const char *program);

/* The file that a shell would run, or NULL. To be freed. */
char *launch_find(const char *program);

#endif
