/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_SYMBOLIZE_H
#define GOSTAT_TOOLS_SYMBOLIZE_H

/*
 * Names for code: from a module (path and build id) and an address in it to
 * functions, files and lines, inlined frames included.
 *
 * Addresses are the file's own (those of its symbol table, of addr2line):
 * address in memory less the address that the module was loaded at. For a
 * frame of a stack it is the call's, one less than the return address.
 *
 * Strings live as long as the symbolizer. One thread.
 */

#include "base/attrs.h"

struct symbol {
	const char *function; /* demangled; "" if it has no name */
	const char *linkage;  /* as the linker knows it; NULL if the same */
	const char *file;     /* NULL: not known */
	unsigned line;	      /* 0: not known */
	unsigned start_line;  /* of the function; 0: not known */
	bool inlined;	      /* into the next one */
};

struct symbols {
	const struct symbol *of; /* innermost first */
	size_t n;		 /* 0: nothing is known */
};

struct symbolizer;
struct module;

/*
 * root: folder under which paths are looked up first ("/proc/PID/root", for
 * processes of another mount namespace); NULL: none.
 */
struct symbolizer *symbolizer_new(const char *root);
void symbolizer_free(struct symbolizer *s);

/*
 * The module at path, opened once; build_id is in hexadecimal, "" or NULL if
 * there is none. A file whose build id is another one is not used, but the
 * debug file of the right one is, where installed. Never NULL: a module that
 * can't be had knows no symbols.
 */
struct module *symbolizer_module(
	struct symbolizer *s, const char *path, const char *build_id);

/* Why a module knows nothing, or NULL. */
const char *module_problem(const struct module *m);

/* What lies at this address. */
struct symbols module_symbols(struct module *m, uint64_t address);

/* The address of what lies at this offset in the file; UINT64_MAX: none. */
uint64_t module_address(struct module *m, uint64_t file_offset);

/* The demangled form of a name, or NULL if it is none that was mangled. */
char *symbol_demangle(const char *name);

/* What --version says of the libraries behind this. */
const char *symbolizer_version(void);

#endif
