/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_PROFILE_H
#define GOSTAT_TOOLS_PROFILE_H

/*
 * profile.proto in memory. Fields have the names and meanings of the format;
 * strings are numbers of entries of strings[], 0 is "".
 */

#include "mem.h"
#include "symbolize.h"

struct profile_type {
	uint64_t type, unit;
};

struct profile_label {
	uint64_t key, str, unit;
	int64_t num;
};

struct profile_sample {
	uint64_t *location; /* ids, the leaf first */
	int64_t *value;	    /* one for each sample type */
	struct profile_label *label;
	size_t nlocation, nvalue, nlabel;
};

struct profile_mapping {
	uint64_t id, start, limit, offset, file, build_id;
	bool has_functions, has_filenames, has_lines, has_inlines;
};

struct profile_line {
	uint64_t function;
	int64_t line, column;
};

struct profile_location {
	uint64_t id, mapping, address;
	struct profile_line *line; /* the innermost first */
	size_t nline;
	bool folded;
};

struct profile_function {
	uint64_t id, name, system_name, file;
	int64_t start_line;
};

struct profile {
	struct profile_type *type;
	struct profile_sample *sample;
	struct profile_mapping *mapping;
	struct profile_location *location;
	struct profile_function *function;
	char **strings;
	uint64_t *comment;
	size_t ntype, nsample, nmapping, nlocation, nfunction, nstrings,
		ncomment;
	uint64_t drop_frames, keep_frames, default_type, doc_url;
	int64_t time_ns, duration_ns, period;
	struct profile_type period_type;
};

/*
 * Read a profile, in gzip or plain. False: it is none; *why is static. What
 * comes back true is consistent: every number of a string, and every id that
 * samples, locations and lines refer to, exists.
 */
bool profile_read(
	struct profile *p, const void *data, size_t n, const char **why);

/* In gzip. */
void profile_write(const struct profile *p, struct buf *out);

/* Lines of functions and files for locations that have none. */
void profile_symbolize(struct profile *p, struct symbolizer *s);

/* The number of a string, which is added if need be. */
uint64_t profile_string(struct profile *p, const char *s);

const char *profile_text(const struct profile *p, uint64_t string);

void profile_free(struct profile *p);

#endif
