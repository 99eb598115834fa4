/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_CYCLES_H
#define GOSTAT_TESTS_CYCLES_H

/* What tests of whole cycles have in common. */

#include "base/options.h"
#include "gc/gc.h"
#include "gc/gcstats.h"
#include "os/writetrack.h"

#include <stdint.h>
#include <stdio.h>

/* The collector as that variable has it. */
static inline void set(const char *variable)
{
	char *env[] = {(char *)(uintptr_t)variable, NULL};

	options_parse(env, false);
	gc_init();
}

static inline struct gcstats stats(void)
{
	static struct gcstats s;

	gcstats_read(&s);
	return s;
}

/* True, with a line, where the kernel does not track writes. */
static inline bool no_parts(void)
{
	struct writetrack t;
	enum writetrack_result r = writetrack_begin(&t);

	writetrack_end(&t, false);
	if (r != WRITETRACK_OK)
		printf("skipped: writes can't be tracked (%d)\n", (int)r);
	return r != WRITETRACK_OK;
}

#endif
