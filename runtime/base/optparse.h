/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_OPTPARSE_H
#define GOSTAT_BASE_OPTPARSE_H

#include "base/options.h"

/*
 * Text to value, one function for each kind of option. All have one shape, so
 * that options.def can name them: the value of s goes to out, whose type is
 * said below, and true comes back; or false, and out is as it was. s is never
 * empty. arg is the row's; where nothing is said it is not looked at.
 *
 * Context: at load (the string kinds keep copies in a static buffer).
 */

struct range {
	uint64_t lo, hi;
};

/* The actions' names, index = bit; NULL at the end. */
extern const char *const optparse_actions[NACTION + 1];

/* bool: 0 or 1. */
bool optparse_bool(const char *s, void *out, const void *arg);

/* uint64_t within the struct range at arg. */
bool optparse_uint(const char *s, void *out, const void *arg);

/* An enum; arg is the NULL-terminated array of its values' names. */
bool optparse_enum(const char *s, void *out, const void *arg);

/* int32_t: a percentage; off and negative numbers give GOGC_OFF. */
bool optparse_gogc(const char *s, void *out, const void *arg);

/* uint64_t, int64_t: Go's byte counts; off gives 0 and MEMLIMIT_OFF. */
bool optparse_size(const char *s, void *out, const void *arg);
bool optparse_memlimit(const char *s, void *out, const void *arg);

/* const char *: a copy of s. */
bool optparse_string(const char *s, void *out, const void *arg);

/*
 * const char *: a copy of s, whose % sequences are checked; NULL when s is the
 * word at arg.
 */
bool optparse_template(const char *s, void *out, const void *arg);

/* uint32_t: OR of enum action; none gives 0. */
bool optparse_atexit(const char *s, void *out, const void *arg);

/* struct signal_actions; none gives an empty list. */
bool optparse_signals(const char *s, void *out, const void *arg);

/* struct godebug; keys that are not ours are passed over. */
bool optparse_godebug(const char *s, void *out, const void *arg);

#endif
