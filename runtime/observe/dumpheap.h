/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_DUMPHEAP_H
#define GOSTAT_OBSERVE_DUMPHEAP_H

#include "os/grow.h"

/* The action heap: its hook for dump.c. See dumpheap.c. */
void dumpheap_action(void);

/*
 * The heap profile in gzip into g, functions named or not; 0 or an errno value.
 * Context: a hook.
 */
int dumpheap_format(struct grow *g, bool named);

#endif
