/* SPDX-License-Identifier: MIT */
/*
 * inittrace: what happens before main, in Go's words.
 *
 *	init libgostat @0 ms, 0.19 ms clock, 0 bytes, 0 allocs
 *	init python3 @0.2 ms, 1.1 ms clock, 74112 bytes, 18 allocs
 *
 * Go has a line for each package. Here the first one is our own constructor,
 * the second everything after it: constructors of the program and its
 * libraries. The time behind @ counts from the beginning of the first.
 *
 * Locks: none; there is one thread.
 */
#include "preload/inittrace.h"
#include "alloc/stats.h"
#include "base/options.h"
#include "gc/gctrace.h"
#include "os/clock.h"

#include <unistd.h>

static struct {
	int64_t began_ns, at_ns;
	uint64_t bytes, allocs;
} inittrace;

void inittrace_begin(void)
{
	if (options->godebug.inittrace)
		inittrace.began_ns = inittrace.at_ns = clock_mono_ns();
}

void inittrace_line(const char *what)
{
	struct heapstats h;
	char buf[256];
	struct fmt f;
	int64_t now;

	if (!inittrace.began_ns)
		return;
	now = clock_mono_ns();
	heapstats_read(&h);
	fmt_init(&f, buf, sizeof(buf), STDERR_FILENO);
	fmt_printf(&f, "init %s @", what);
	gctrace_ms(&f, inittrace.at_ns - inittrace.began_ns);
	fmt_str(&f, " ms, ");
	gctrace_ms(&f, now - inittrace.at_ns);
	fmt_printf(&f, " ms clock, %lu bytes, %lu allocs\n",
		h.total_alloc - inittrace.bytes, h.mallocs - inittrace.allocs);
	fmt_flush(&f);
	inittrace.at_ns = now;
	inittrace.bytes = h.total_alloc;
	inittrace.allocs = h.mallocs;
}
