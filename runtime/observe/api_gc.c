/* SPDX-License-Identifier: MIT */
/*
 * api_gc: the functions of gostat.h that concern the collector. As in api.c,
 * the header has the contracts.
 *
 * The caller of gostat_gc() runs the cycle itself: it has to wait anyway, and
 * no thread of ours need exist for it.
 */
#include "gostat.h"
#include "base/fatal.h"
#include "base/options.h"
#include "gc/finalizer.h"
#include "gc/gc.h"
#include "observe/finalthread.h"
#include "observe/gcrun.h"

#include <errno.h>

static const char *cycle(bool leaks)
{
	int saved = errno;
	const char *error = gc_cycle(GC_FORCED, leaks);

	if (error && options->verbose)
		warn("cycle: %s", error);
	errno = saved;
	return error;
}

void gostat_gc(void)
{
	cycle(options->gc == GC_REPORT);
}

size_t gostat_find_leaks(struct gostat_leaks *out)
{
	struct gostat_leaks found = {0};
	const char *error = cycle(true);
	const struct leaks *l = gc_leaks();

	if (l && !error)
		found = (struct gostat_leaks){
			.direct_objects = l->objects[LEAK_DIRECT],
			.direct_bytes = l->bytes[LEAK_DIRECT],
			.indirect_objects = l->objects[LEAK_INDIRECT],
			.indirect_bytes = l->bytes[LEAK_INDIRECT],
			.suppressed_objects = l->objects[LEAK_SUPPRESSED],
			.suppressed_bytes = l->bytes[LEAK_SUPPRESSED]};
	gc_leaks_done();
	if (out)
		*out = found;
	if (error)
		errno = EAGAIN;
	return error ? (size_t)-1
		     : found.direct_objects + found.indirect_objects;
}

int gostat_set_gc_percent(int percent)
{
	int old = gc_set_percent(percent);

	if (percent >= 0 && options->gc != GC_OFF)
		gcrun_start();
	return old;
}

int gostat_gomaxprocs(int n)
{
	return gc_set_workers(n);
}

int gostat_set_finalizer(void *obj, void (*fn)(void *obj))
{
	int error = 0;

	if (fn && !finalthread_start())
		error = EAGAIN;
	if (!error)
		error = finalizer_set(obj, fn);
	if (error)
		errno = error;
	return error ? -1 : 0;
}
