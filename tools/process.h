/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_PROCESS_H
#define GOSTAT_TOOLS_PROCESS_H

/* Running processes that carry the library, and where they can be asked. */

#include "base/attrs.h"

#include <sys/types.h>

struct process {
	int pid;
	uid_t uid;
	char *root; /* "/proc/PID/root" if its files are not ours; else NULL */
	char *exe;  /* path, as far as it is known; else the name */
	char *socket; /* NULL: it has none that is known */
};

/* All that is known of a process; false: there is none. */
bool process_look(struct process *p, int pid);
void process_free(struct process *p);

/* Does it run libgostat? False too if we may not know. */
bool process_is_loaded(const struct process *p);

/*
 * Those of this user (for root: all) that run libgostat, by pid. To be freed,
 * each with process_free().
 */
struct process *process_list(size_t *n);

#endif
