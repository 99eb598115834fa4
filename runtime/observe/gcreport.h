/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_GCREPORT_H
#define GOSTAT_OBSERVE_GCREPORT_H

#include "base/fmt.h"
#include "base/options.h"
#include "observe/pprof.h"

/*
 * gcreport: what the last cycle has found, for people, programs and pprof.
 */

/* Has there been a cycle that looked for leaks? */
bool gcreport_have(void);

/*
 * The report as text, or as JSON. unchecked: why there is nothing to report, or
 * NULL. Context: any thread, no lock of ours held, not in a signal handler.
 */
void gcreport_write(struct fmt *f, const char *unchecked, bool json);

/* The same to where GOSTAT_DUMP says, as GOSTAT_FORMAT says. */
void gcreport_dump(const char *unchecked, uint64_t number, const char *suffix);

/*
 * Leaks by stack as buckets whose inuse figures are what leaked. 0 or ENOMEM;
 * give them back with pprof_free(). Context: as above.
 */
int gcreport_take(struct pprof_snapshot *s);

#endif
