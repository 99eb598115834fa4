/* SPDX-License-Identifier: MIT */
/*
 * demangle_none: the build without libiberty; names stay as the linker has
 * them.
 */
#include "symbolize.h"

char *symbol_demangle(const char *name UNUSED)
{
	return NULL;
}
