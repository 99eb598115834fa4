/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_SPARE_H
#define GOSTAT_GC_SPARE_H

#include "base/attrs.h"

/*
 * spare: have the kernel keep page tables at hand that a copy of the process
 * will need, so that the clone is shorter. To be called shortly before it, by
 * the thread that makes it, with the world running. Costs 1 us for each 2 MiB
 * of heap. What can't be done is left.
 */
void spare_tables(size_t heap_bytes);

#endif
