/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_COMPLAIN_H
#define GOSTAT_TOOLS_COMPLAIN_H

#include "base/attrs.h"

#include <stdarg.h>

/* "gostat: what: why" on stderr, behind what stdout has got so far. */
void complain(const char *what, const char *why, ...) PRINTF_LIKE(2, 3);
void vcomplain(const char *what, const char *why, va_list ap);

#endif
