/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LEAKREPORT_H
#define GOSTAT_GC_LEAKREPORT_H

#include "base/fmt.h"
#include "gc/leaklist.h"

/*
 * leakreport: leaked objects by the place that allocated them, and how that is
 * written for people and programs.
 */
struct leak_group {
	uint32_t stack;
	uint32_t kind; /* enum leak_kind */
	uint64_t objects, bytes;
};

struct leaks {
	/* Direct ones first, then by bytes, the most first. */
	struct leak_group *group;
	size_t n, cap;
	uint64_t objects[NLEAKKIND], bytes[NLEAKKIND];
	uint64_t live_objects, live_bytes;
	bool truncated;	       /* there are more, of which nothing is known */
	const char *unchecked; /* why nothing was looked at, or NULL */
	const struct leaklist *list; /* of the objects, or NULL */
};

/*
 * Count the objects of an opened and verified list by stack and kind; rules
 * that match get their counts. live and unchecked are the caller's to set.
 * False: no memory.
 */
bool leaks_count(struct leaks *l, const struct leaklist *list);
void leaks_free(struct leaks *l);

struct leakreport_options {
	const char *tool; /* "gostat", or "LeakSanitizer" for its users */
	int pid;
	const char *exe;
	uint64_t max_leaks;  /* groups shown in text; 0: all */
	bool report_objects; /* addresses too, in text */
	bool print_suppressions;
	bool brief; /* in JSON, each frame once: for the tool */
	const char *next; /* what it becomes by exec, or NULL; if brief */
	void (*heap)(struct fmt *f); /* MemStats as JSON, or NULL */
};

/* As LeakSanitizer writes it; nothing but suppressions if nothing leaked. */
void leakreport_text(struct fmt *f, const struct leaks *l,
	const struct leakreport_options *o);

/* One JSON object and a newline; spec.md, "Leak report". */
void leakreport_json(struct fmt *f, const struct leaks *l,
	const struct leakreport_options *o);

#endif
