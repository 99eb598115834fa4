/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_MEMSTATS_H
#define GOSTAT_OBSERVE_MEMSTATS_H

#include "gostat.h"

/*
 * Fill *m with one snapshot; MemStats' identities hold in it. Every counter is
 * exact when no thread allocates meanwhile.
 *
 * Context: anywhere, signal handlers included: takes no lock, allocates
 * nothing, leaves errno alone.
 */
void memstats_read(struct gostat_memstats *m);

#endif
