/* SPDX-License-Identifier: MIT */
/*
 * demangle: readable names for C++, Rust (both manglings), D, Ada and Go.
 *
 * Rejected: __cxa_demangle, which knows C++ only and would bring libstdc++.
 */
#include "symbolize.h"

#include <libiberty/demangle.h>
#include <string.h>

char *symbol_demangle(const char *name)
{
	const char *at = strchr(name, '@'); /* symbol versions */

	if (at || (strncmp(name, "_Z", 2) && strncmp(name, "_R", 2) &&
			  strncmp(name, "_D", 2) && strncmp(name, "___Z", 4)))
		return NULL;
	return cplus_demangle(name, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);
}
