/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_SANITIZER_H
#define GOSTAT_TESTS_SANITIZER_H

/*
 * Sanitizers enlarge frames, add a thread and make system calls of their own:
 * what is exact without them is a bound or cannot be asked for with them.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* It puts signals off, so single-stepping is in vain. */
#ifdef __SANITIZE_THREAD__
enum { SIGNALS_COME_LATE = 1 };
#else
enum { SIGNALS_COME_LATE = 0 };
#endif

#endif
