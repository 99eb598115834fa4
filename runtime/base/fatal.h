/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_FATAL_H
#define GOSTAT_BASE_FATAL_H

#include "base/attrs.h"

/*
 * Last words. One line goes to stderr with one write(2), prefixed "gostat: ";
 * then fatal_hook, if set, may add a stack; then abort(). Formats are those of
 * fmt_vprintf(). Context: anywhere, signal handlers included.
 */
NORETURN COLD void fatal(const char *format, ...) PRINTF_LIKE(1, 2);

/* Called between the line and abort(); prints the stack of the caller. */
extern void (*fatal_hook)(void);

/*
 * Asked when descriptor 2 is closed; says which other one the line may go to,
 * or -1. Context: as above.
 */
extern int (*fatal_stderr_hook)(void);

/* One line on stderr, "gostat: " in front; never ends the process. */
COLD void warn(const char *format, ...) PRINTF_LIKE(1, 2);

NORETURN COLD void invariant_failed(const char *what, const char *file,
	int line);

/* A broken invariant of ours: cheap, always on. */
#define INVARIANT(x)                                                           \
	(likely(x) ? (void)0 : invariant_failed(#x, __FILE__, __LINE__))

#ifdef GOSTAT_DEBUG
#define DEBUG_ASSERT(x) INVARIANT(x)
#else
#define DEBUG_ASSERT(x) ((void)0)
#endif

#endif
