/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_LSAN_H
#define GOSTAT_GC_LSAN_H

#include "base/attrs.h"

/*
 * LeakSanitizer's options, as far as they have a meaning here. They come from
 * the program (__lsan_default_options()) and from LSAN_OPTIONS, which wins.
 */
struct lsan_options {
	bool detect_leaks;	 /* false: no check at all */
	bool leak_check_at_exit; /* false: only when asked */
	int exitcode;
	uint64_t max_leaks; /* groups in a text; 0: all */
	bool report_objects;
	bool print_suppressions;
	bool use_globals, use_stacks, use_registers, use_tls;
	bool use_root_regions, use_unaligned;
	char suppressions[4096]; /* path, or "" */
	char log_path[4096];	 /* path, "stdout", "stderr", or "" */
};

extern HIDDEN struct lsan_options lsan;

/*
 * Take name=value pairs, separated by colons, commas or white space; values
 * may be quoted. Unknown names are left to other sanitizers; a value that can't
 * be read gives one line on stderr that names where, and is left out.
 */
void lsan_parse(const char *text, const char *where);

/* Kinds of roots, bits 1 << enum root_kind, that the options leave. */
uint32_t lsan_root_kinds(void);

#endif
