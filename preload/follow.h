/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_FOLLOW_H
#define GOSTAT_PRELOAD_FOLLOW_H

#include "base/attrs.h"

/*
 * Take this library out of the LD_PRELOAD of envp, in place. Context: at load,
 * while there is one thread.
 */
void follow_stop(char **envp);

/*
 * Take the entries whose last part is name out of a list as LD_PRELOAD has it.
 * False: nothing is left of it.
 */
bool follow_prune(char *list, const char *name);

#endif
