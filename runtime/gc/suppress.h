/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_SUPPRESS_H
#define GOSTAT_GC_SUPPRESS_H

#include "base/attrs.h"

/*
 * suppress: leaks that the user does not want to hear of. Rules in
 * LeakSanitizer's syntax, one a line:
 *
 *	# a comment
 *	leak:PATTERN
 *
 * A rule matches a stack if its pattern matches the function, the source file
 * or the module of any frame. A pattern may match anywhere in the name, unless
 * it begins with ^ or ends with $; * stands for any characters.
 *
 * In this process functions go by their linkage names, static ones have none,
 * and source files are not known.
 */
struct suppress_rule {
	const char *pattern;	 /* NUL-terminated, with ^ and $ */
	uint64_t objects, bytes; /* that it has matched; the reporter's */
};

/*
 * Add the rules of a text (copied). Lines of other kinds are left to others;
 * what is no rule at all gives one line on stderr that names where: a file,
 * or who gave the text. Rules never go away. Context: one thread at a time.
 */
void suppress_add_text(const char *text, size_t n, const char *where);

/* The same with a file's; one line on stderr if it can't be read. */
bool suppress_add_file(const char *path);

size_t suppress_count(void);
struct suppress_rule *suppress_at(size_t i);

/* Does pattern match name? False for NULL and for an empty name. */
bool suppress_matches(const char *pattern, const char *name);

/* The first rule that matches the stack, or NULL. */
struct suppress_rule *suppress_find(uint32_t stack);

/*
 * The same as yes or no, remembered for each stack id: for the loop over all
 * leaked objects. memo starts as {0} and is freed by suppress_forget().
 */
struct suppress_memo {
	uint32_t *slot; /* stack << 1 | answer; 0: empty */
	size_t n, cap;
};
bool suppress_asked(struct suppress_memo *memo, uint32_t stack);
void suppress_forget(struct suppress_memo *memo);

#endif
