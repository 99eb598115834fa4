/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_HEAPPROFILE_H
#define GOSTAT_OBSERVE_HEAPPROFILE_H

#include "observe/pprof.h"
#include "profile/modules.h"

/* This process's heap profile: the sampler's buckets as pprof.h wants them. */

/*
 * Take a snapshot, unscaled. 0 or ENOMEM. Context: anywhere; lock-free except
 * for the mapping of memory.
 */
int heapprofile_take(struct pprof_snapshot *s);

/*
 * Append a struct pprof_mapping for each executable segment that was ever
 * seen, the main program's first. False without memory. Context: anywhere; call modules_refresh() before
 * it where that is allowed.
 */
bool heapprofile_mappings(struct grow *g);

/* The module of the main program; NULL before it was seen. */
const struct module *heapprofile_program(void);

/* The sampler's rate in bytes, as it is now. */
uint64_t heapprofile_rate(void);

/* For pprof_options.names: functions, from symbol tables. arg is not used. */
pprof_names heapprofile_names;

/*
 * The profile in gzip, with all that belongs to it: for dumps. 0 or an errno
 * value; out is not flushed. Context: anywhere, 8 KiB of stack. With names
 * symbol tables are read and kept (symbols.h).
 */
int heapprofile_write(struct fmt *out, bool named);

#endif
