/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_SYMBOLIZE_DW_H
#define GOSTAT_TOOLS_SYMBOLIZE_DW_H

/*
 * What symbolize.c asks of the library that reads ELF and DWARF. There are two
 * implementations, chosen by CMake: symbolize_dw.c, symbolize_none.c.
 */

#include "symbolize.h"

struct dw_module;

/*
 * Open a file; NULL and a reason if that fails or its build id differs from
 * the one given (NULL or "": any will do).
 */
struct dw_module *dw_open(
	const char *path, const char *build_id, const char **why);
void dw_close(struct dw_module *m);

/* The file of symbols with this build id, or NULL; to be freed. */
char *dw_debug_file(const char *build_id);

/*
 * The frames at an address, innermost first; their number comes back. Names are
 * as in the file, not demangled, and live as long as m.
 */
struct dw_frame {
	const char *name; /* NULL: not known */
	char *file;	  /* to be freed; NULL: not known */
	unsigned line, start_line;
};

enum { DW_FRAMES_MAX = 64 }; /* calls inlined into one another at one place */

size_t dw_frames(struct dw_module *m, uint64_t address,
	struct dw_frame of[DW_FRAMES_MAX]);

uint64_t dw_address(struct dw_module *m, uint64_t file_offset);

const char *dw_version(void);

#endif
