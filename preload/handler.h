/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_HANDLER_H
#define GOSTAT_PRELOAD_HANDLER_H

#include <signal.h>

/*
 * handler: a step in front of the program's signal handlers. See handler.c.
 *
 * The address to give to the kernel for a handler, and the other way round.
 * Both leave SIG_DFL and its like alone, and each other's results.
 * Context: anywhere, signal handlers included.
 */
sighandler_t handler_wrap(sighandler_t h);
sighandler_t handler_unwrap(sighandler_t h);

/* From here on stops look whether all handlers have such a step. */
void handler_init(void);

#endif
