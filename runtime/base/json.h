/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_BASE_JSON_H
#define GOSTAT_BASE_JSON_H

#include "base/fmt.h"

/*
 * A JSON string with its quotes, spelled as Go's encoding/json spells it: <, >
 * and & escaped, and U+FFFD for each byte that is not UTF-8, so that whatever
 * bytes a program puts into its arguments or file names, the result can be
 * read. Context: anywhere.
 */
void json_string(struct fmt *f, const char *s, size_t n);

#endif
