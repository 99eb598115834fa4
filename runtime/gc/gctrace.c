/* SPDX-License-Identifier: MIT */
/*
 * gctrace: the line that Go prints for each cycle.
 *
 *	gc 1 @0.004s 6%: 0.028+0.12+0.002 ms clock, 0.056+0/0.031/0.067+0.004 ms
 *	cpu, 1->1->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
 *
 * Our cycle has one pause where Go's has two; it stands in the first place and
 * the second is 0. All marking is dedicated: assists and idle time are 0.
 */
#include "gc/gctrace.h"

void gctrace_ms(struct fmt *f, int64_t ns)
{
	uint64_t us = (uint64_t)(ns > 0 ? ns : 0) / 1000, unit = 1;
	unsigned decimals = 3;

	if (us >= 10000) {
		fmt_u64(f, us / 1000);
		return;
	}
	if (us == 0) {
		fmt_char(f, '0');
		return;
	}
	while (us >= 100) {
		us /= 10;
		decimals--;
	}
	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	fmt_u64(f, us / unit);
	fmt_printf(f, ".%0*lu", (int)decimals, us % unit);
}

static void print_mib(struct fmt *f, uint64_t bytes)
{
	fmt_u64(f, bytes >> 20);
}

void gctrace_line(struct fmt *f, const struct gctrace *t)
{
	uint64_t ms = (uint64_t)t->since_start_ns / 1000000;

	fmt_printf(f, "gc %u @%lu.%03lus %lu%%: ", t->number, ms / 1000,
		ms % 1000, (uint64_t)(t->cpu_fraction * 100));
	gctrace_ms(f, t->pause_ns);
	fmt_char(f, '+');
	gctrace_ms(f, t->mark_ns);
	fmt_str(f, "+0 ms clock, ");
	gctrace_ms(f, t->pause_ns * t->procs);
	fmt_str(f, "+0/");
	gctrace_ms(f, t->cpu_ns);
	fmt_str(f, "/0+0 ms cpu, ");
	print_mib(f, t->heap_start);
	fmt_str(f, "->");
	print_mib(f, t->heap_end);
	fmt_str(f, "->");
	print_mib(f, t->heap_marked);
	fmt_str(f, " MB, ");
	print_mib(f, t->goal);
	fmt_str(f, " MB goal, ");
	print_mib(f, t->stacks);
	fmt_str(f, " MB stacks, ");
	print_mib(f, t->globals);
	fmt_printf(f, " MB globals, %u P", t->procs);
	if (t->forced)
		fmt_str(f, " (forced)");
	fmt_char(f, '\n');
}
