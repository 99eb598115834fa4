/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_OUTPUT_H
#define GOSTAT_TOOLS_OUTPUT_H

#include "base/attrs.h"

/*
 * Bytes to a file, whole or not at all (devices and pipes: as they come); path
 * NULL or "-" is stdout. False: it has been said why.
 */
bool output_write(const char *path, const void *p, size_t n);

/*
 * Where data that is not for eyes goes: path if given, else stdout, but if that
 * is a terminal a file of the given name, which is told on stderr.
 */
bool output_binary(const char *path, const char *name, const void *p, size_t n);

#endif
