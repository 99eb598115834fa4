/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_STACKPRINT_H
#define GOSTAT_PROFILE_STACKPRINT_H

#include "base/fmt.h"

/*
 * Stacks for people, one line a frame, as LeakSanitizer writes them:
 *
 *	    #0 0x55f0c0de in make_list+0x1d (/usr/bin/app+0xc0de)
 *
 * The address is inside the call, the number behind the module is that
 * address in the module's file. What is not known is left out. None of these
 * waits for a lock, so they may run in a signal handler and after the heap
 * was found corrupt; a name may then be missing.
 */

/* The frames pc[0..n) of a stack of that generation, innermost first. */
void stackprint(
	struct fmt *f, const uintptr_t *pc, size_t n, uint32_t generation);

/* Stack id of stacktab.h. */
void stackprint_id(struct fmt *f, uint32_t id);

/* The caller's stack, without the frames of this library. */
void stackprint_here(struct fmt *f);

/* The same on standard error: for fatal_hook. */
void stackprint_fatal(void);

#endif
