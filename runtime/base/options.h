/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_OPTIONS_H
#define GOSTAT_BASE_OPTIONS_H

/*
 * What the user asked for through the environment, read once at load.
 * options.def has one row per variable; everything here follows from it.
 */

#include "base/attrs.h"

enum gc_mode { GC_REPORT, GC_RECLAIM, GC_OFF };
enum dump_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS };
enum leakcheck_mode { LEAKCHECK_OFF, LEAKCHECK_EXIT };
enum roots_mode { ROOTS_ALL, ROOTS_STRICT };

/* What a signal or the end of the process can ask for; a set is their OR. */
enum action {
	ACTION_STATS = 1 << 0,
	ACTION_GC = 1 << 1,
	ACTION_LEAKS = 1 << 2,
	ACTION_HEAP = 1 << 3,
	ACTION_TRACE = 1 << 4,
	NACTION = 5
};

enum {
	GOGC_OFF = -1,	    /* any negative value, as in debug.SetGCPercent */
	MAX_SIGNALS = 8,    /* distinct signals in GOSTAT_SIGNAL */
	MAX_TEMPLATE = 3072 /* longest path template; leaves room to expand */
};

#define MEMLIMIT_OFF INT64_MAX	 /* as in debug.SetMemoryLimit */
#define MEMLIMIT_AUTO INT64_C(-1) /* 90 % of the cgroup's limit */

struct signal_action {
	int signo;
	uint32_t actions; /* OR of enum action, never 0 */
};

struct signal_actions {
	unsigned n;
	bool given; /* the variable was set, this is not the default */
	struct signal_action of[MAX_SIGNALS];
};

struct godebug {
	uint32_t gctrace, scavtrace, inittrace, gcstoptheworld, gcnocopy;
};

/*
 * Paths that may be switched off are NULL then: dump and leakcheck_out
 * (stderr), atexit_out (as dump), socket, trace, oom_dump, suppressions. socket
 * may also be the word "auto". Sizes that may be off are 0 then: maxheap,
 * warn_heap.
 */
struct options {
#define OPTION(name, type, field, initial, parser, arg, dflt, accepted, help)  \
	type field;
#include "base/options.def"
#undef OPTION
};

/* Never NULL; holds the defaults until options_parse() has run. */
extern const struct options *const options;

/*
 * Take the values from envp ("NAME=value" strings, NULL at the end; may itself
 * be NULL). Strings are copied: a program may overwrite its environment later.
 * An empty value counts as unset; of two settings the first counts, as with
 * getenv. Each value that can't be parsed, and each unknown GOSTAT_ name, gives
 * one line on stderr. With secure set everything is ignored without a word.
 *
 * Context: at load, before other threads read options. Allocates nothing.
 */
void options_parse(char **envp, bool secure);

/*
 * From now on dumps go where GOSTAT_ATEXIT_OUT says, if it says anything.
 * Context: the process ends.
 */
void options_dump_at_exit(void);

/* The table, for documentation, --help and doctor. */
struct option_row {
	const char *name, *dflt, *accepted, *help;
};

extern const struct option_row option_rows[];
extern const unsigned noption_rows;

/* The known variable whose name is nearest to name; never NULL. */
const char *options_nearest(const char *name);

/* "stats" ... "trace" for one bit of enum action; NULL for anything else. */
const char *action_name(uint32_t action);

#endif
