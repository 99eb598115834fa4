/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PROFILE_SYMBOLS_H
#define GOSTAT_PROFILE_SYMBOLS_H

#include "profile/modules.h"

/*
 * Function names from the symbol tables of modules' files, for a process that
 * has to name its own frames: last words, text profiles. Not demangled; no
 * lines (the gostat tool has both).
 *
 * The name of the function of m that holds address pc, and in *offset how far
 * into it pc is. NULL if there is no such function, if the file is not there
 * any more or another one by now (by build id), or if another thread is
 * looking something up at this moment.
 *
 * The name is good until symbols_forget(). Context: anywhere, signal handlers
 * included; waits for nothing. At the first call for a module its file is
 * read, with a descriptor for a moment, and its symbols are sorted: 1 ms for
 * libc, 60 ms for a large program with .symtab.
 */
const char *symbols_find(
	const struct module *m, uintptr_t pc, uintptr_t *offset);

/* Give back what the lookups so far have read. Waits for a lookup to end. */
void symbols_forget(void);

/* fork(2) must not happen in the middle of a lookup. */
void symbols_prefork(void);
void symbols_postfork(bool child);

#endif
