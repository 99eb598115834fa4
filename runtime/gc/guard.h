/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_GUARD_H
#define GOSTAT_GC_GUARD_H

#include "base/attrs.h"

/*
 * guard: a page that can't be read does not stop the marker. Between begin and
 * end, a load of this thread or of marking threads that faults sees the page's
 * contents all the same, or zeroes where it has none. In place (not in a copy)
 * pages that were opened are closed again by end.
 *
 * Signals that the program would get meanwhile are not affected: it does not
 * run.
 */
void guard_begin(bool copy);
void guard_end(void);

#endif
