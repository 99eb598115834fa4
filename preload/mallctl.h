/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_PRELOAD_MALLCTL_H
#define GOSTAT_PRELOAD_MALLCTL_H

#include "base/attrs.h"

/*
 * jemalloc's introspection, as in its manual: 0 or an errno value. See
 * mallctl.c for what is answered.
 */
int mallctl(
	const char *name, void *old, size_t *oldlen, void *new, size_t newlen);
int mallctlnametomib(const char *name, size_t *mib, size_t *miblen);
int mallctlbymib(const size_t *mib, size_t miblen, void *old, size_t *oldlen,
	void *new, size_t newlen);

/*
 * The heap's figures as text, handed to write piece by piece; to stderr if
 * write is NULL. opts: a J in it asks for JSON.
 */
void malloc_stats_print(void (*write)(void *arg, const char *text), void *arg,
	const char *opts);

#endif
