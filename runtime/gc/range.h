/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_RANGE_H
#define GOSTAT_GC_RANGE_H

#include "base/attrs.h"

/* Addresses [lo, hi): what roots are made of and the marker walks. */
struct gc_range {
	uintptr_t lo, hi;
};

#endif
