/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_SUPPRESS_H
#define GOSTAT_TOOLS_SUPPRESS_H

/*
 * Leaks that the user does not want to hear of: "leak:PATTERN" lines, as
 * LeakSanitizer reads them. A pattern may match anywhere in the name of a
 * function, a source file or a module; ^ and $ tie it to the ends, * stands
 * for any characters. Empty lines and lines that begin with # say nothing.
 */

#include "base/attrs.h"

struct suppress_rule {
	char *pattern;		 /* what is behind "leak:" */
	bool shared;		 /* the library has it too (LSAN_OPTIONS) */
	uint64_t objects, bytes; /* that it has matched */
};

struct suppress {
	struct suppress_rule *rules;
	size_t n;
};

/*
 * Add the rules of a file. If it can't be read, or a line is no rule, false,
 * and one line on stderr says where.
 */
bool suppress_add_file(struct suppress *s, const char *path, bool shared);

/*
 * Those of the environment: $GOSTAT_SUPPRESSIONS, and suppressions= in
 * $LSAN_OPTIONS. False as above.
 */
bool suppress_add_environment(struct suppress *s);

/* Does pattern match name? False for NULL and for "". */
bool suppress_matches(const char *pattern, const char *name);

void suppress_free(struct suppress *s);

#endif
