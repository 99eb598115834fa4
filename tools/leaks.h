/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_LEAKS_H
#define GOSTAT_TOOLS_LEAKS_H

/*
 * The leak report of one process: read as the library writes it, completed
 * with names, sorted, written for people and for programs.
 */

#include "suppress.h"
#include "symbolize.h"

#include <jansson.h>
#include <stdio.h>

struct leak_frame {
	const char *function; /* "" if not known */
	const char *linkage;  /* NULL: the same */
	const char *file;     /* NULL: not known */
	unsigned line;
	const char *module, *build_id; /* "" if there is none */
	uint64_t offset;	       /* address in the module's file */
	uint64_t address;	       /* in the process; 0: not known */
	bool inlined;		       /* into the next */
	/* Of leaks_complete(): */
	size_t rank; /* equal in frames that read the same */
	size_t rule; /* the first that matches it, or SIZE_MAX */
};

struct leak {
	bool direct;
	uint64_t objects, bytes;
	char fingerprint[17];
	uint32_t *stack; /* frames by number, the caller of malloc first */
	size_t depth;
};

enum leaks_status { LEAKS_CLEAN, LEAKS_FOUND, LEAKS_UNCHECKED };

struct leaks {
	int pid;
	const char *exe;
	const char *next; /* what it became by exec; "" */
	bool expected; /* that is all that is known */
	enum leaks_status status;
	char *reason; /* of unchecked; else "" */
	struct leak *of;
	size_t n;
	struct leak_frame *frames; /* that the stacks are made of */
	size_t nframes;
	uint64_t suppressed_objects, suppressed_bytes;
	json_t *unused; /* array of strings */
	uint64_t live_objects, live_bytes;
	json_t *heap;		    /* MemStats, or NULL */
	json_t *root;		    /* holds the strings */
	struct suppress_rule *used; /* copies of those that matched here */
	size_t nused;
};

/*
 * One JSON object of the library's, in either of its shapes: stacks of frames,
 * or of numbers of frames (GOSTAT_LEAKCHECK_BRIEF). False: it is none, *why says where. */
bool leaks_parse(struct leaks *l, const char *text, size_t n, char **why);

/* The report of a process that could not be checked. */
void leaks_unchecked(
	struct leaks *l, int pid, const char *exe, const char *reason);

/* Add what b found to a, if b is the same process under another program. */
void leaks_merge(struct leaks *a, struct leaks *b);

/*
 * Names for all frames, suppression, then equal stacks in one group, direct
 * ones first, the largest first. The symbolizer must outlive l.
 */
void leaks_complete(
	struct leaks *l, struct symbolizer *s, struct suppress *rules);

/* In LeakSanitizer's words; named: and say which program it is. */
void leaks_print(const struct leaks *l, FILE *f, bool color, bool named);

/* Of several reports, how many leaked, and which programs. */
void leaks_print_total(const struct leaks *l, size_t n, FILE *f);

/* A line for each rule that matched nothing in any of the n reports. */
void leaks_print_unused(
	const struct leaks *l, size_t n, const struct suppress *rules, FILE *f);

/* As the specification of the report has it: one object. */
void leaks_write_json(
	const struct leaks *l, const struct suppress *rules, FILE *f);

void leaks_free(struct leaks *l);

#endif
