/* SPDX-License-Identifier: MIT */
/*
 * emit: MemStats as text, as JSON, as Prometheus metrics
 * (emit_prometheus.c).
 *
 *	                 ┌ text        Alloc = 1234
 *	emit_figures[] ──┼ json        {"Alloc":1234,...}
 *	                 └ prometheus  go_memstats_alloc_bytes 1234
 *
 * The table is the only place that knows the fields. Each spelling is a loop
 * over it.
 *
 * Text leaves out what is zero in the three arrays (most of 573 numbers) and
 * shows pauses newest first. JSON is exactly Go's, so that any reader of expvar
 * pages takes it.
 */
#include "observe/emit.h"

enum {
	NPAUSE = NELEM(((struct gostat_memstats *)0)->PauseNs),
	NBYSIZE = NELEM(((struct gostat_memstats *)0)->BySize),
};

/* clang-format off */
#define FIGURE(field, kind, unit, metric, type, scale, help)                   \
	{#field, unit, help, kind, offsetof(struct gostat_memstats, field),    \
		metric, type, scale}
#define BYTES(field, metric, help)                                             \
	FIGURE(field, EMIT_U64, "bytes", metric, "gauge", 1, help)

const struct emit_figure emit_figures[] = {
	BYTES(Alloc, "go_memstats_alloc_bytes",
		"Bytes of objects that are allocated now."),
	FIGURE(TotalAlloc, EMIT_U64, "bytes",
		"go_memstats_alloc_bytes_total", "counter", 1,
		"Bytes of all objects allocated since start, freed ones too."),
	BYTES(Sys, "go_memstats_sys_bytes",
		"Bytes obtained from the system."),
	FIGURE(Lookups, EMIT_U64, "lookups",
		"go_memstats_lookups_total", "counter", 1,
		"Pointer lookups; always 0, as in Go."),
	FIGURE(Mallocs, EMIT_U64, "objects",
		"go_memstats_mallocs_total", "counter", 1,
		"Objects allocated since start."),
	FIGURE(Frees, EMIT_U64, "objects",
		"go_memstats_frees_total", "counter", 1,
		"Objects freed since start."),
	BYTES(HeapAlloc, "go_memstats_heap_alloc_bytes",
		"Bytes of heap objects that are allocated now."),
	BYTES(HeapSys, "go_memstats_heap_sys_bytes",
		"Bytes of heap obtained from the system."),
	BYTES(HeapIdle, "go_memstats_heap_idle_bytes",
		"Bytes of heap in spans without objects."),
	BYTES(HeapInuse, "go_memstats_heap_inuse_bytes",
		"Bytes of heap in spans with objects."),
	BYTES(HeapReleased, "go_memstats_heap_released_bytes",
		"Bytes of idle heap without memory behind them."),
	FIGURE(HeapObjects, EMIT_U64, "objects",
		"go_memstats_heap_objects", "gauge", 1,
		"Objects that are allocated now."),
	BYTES(StackInuse, "go_memstats_stack_inuse_bytes",
		"Bytes of thread stacks in use."),
	BYTES(StackSys, "go_memstats_stack_sys_bytes",
		"Bytes mapped for thread stacks."),
	BYTES(MSpanInuse, "go_memstats_mspan_inuse_bytes",
		"Bytes of span descriptors in use."),
	BYTES(MSpanSys, "go_memstats_mspan_sys_bytes",
		"Bytes obtained for span descriptors."),
	BYTES(MCacheInuse, "go_memstats_mcache_inuse_bytes",
		"Bytes of per-thread caches in use."),
	BYTES(MCacheSys, "go_memstats_mcache_sys_bytes",
		"Bytes obtained for per-thread caches."),
	BYTES(BuckHashSys, "go_memstats_buck_hash_sys_bytes",
		"Bytes of the tables of the heap profile."),
	BYTES(GCSys, "go_memstats_gc_sys_bytes",
		"Bytes of heap maps, bitmaps and the collector."),
	BYTES(OtherSys, "go_memstats_other_sys_bytes",
		"Bytes obtained for everything else."),
	BYTES(NextGC, "go_memstats_next_gc_bytes",
		"Size of the heap at which the next collection starts."),
	FIGURE(LastGC, EMIT_U64, "ns since 1970",
		"go_memstats_last_gc_time_seconds", "gauge", 1e9,
		"End of the last collection in seconds since 1970, 0 if none."),
	FIGURE(PauseTotalNs, EMIT_U64, "ns", NULL, NULL, 1,
		"Time that threads were stopped since start."),
	FIGURE(PauseNs, EMIT_RING, "ns", NULL, NULL, 1,
		"Pauses of the last collections."),
	FIGURE(PauseEnd, EMIT_RING, "ns since 1970", NULL, NULL, 1,
		"Ends of the pauses of the last collections."),
	FIGURE(NumGC, EMIT_U32, "cycles", NULL, NULL, 1,
		"Collections since start."),
	FIGURE(NumForcedGC, EMIT_U32, "cycles", NULL, NULL, 1,
		"Collections that somebody asked for."),
	FIGURE(GCCPUFraction, EMIT_F64, "of 1",
		"go_memstats_gc_cpu_fraction", "gauge", 1,
		"Part of all CPU time since start that collections took."),
	FIGURE(EnableGC, EMIT_BOOL, "", NULL, NULL, 1, "Always true."),
	FIGURE(DebugGC, EMIT_BOOL, "", NULL, NULL, 1, "Always false."),
	FIGURE(BySize, EMIT_BYSIZE, "", NULL, NULL, 1,
		"Size, objects allocated and objects freed by size class."),
};
/* clang-format on */

const unsigned emit_nfigures = NELEM(emit_figures);

static const void *field(
	const struct emit_figure *g, const struct gostat_memstats *m)
{
	return (const char *)m + g->offset;
}

/* The kinds that have one value. */
static void scalar(struct fmt *f, const struct emit_figure *g, const void *p)
{
	if (g->kind == EMIT_U64)
		fmt_u64(f, *(const uint64_t *)p);
	else if (g->kind == EMIT_U32)
		fmt_u64(f, *(const uint32_t *)p);
	else if (g->kind == EMIT_F64)
		fmt_f64_json(f, *(const double *)p);
	else
		fmt_str(f, *(const bool *)p ? "true" : "false");
}

static void text_ring(struct fmt *f, const uint64_t *ring, uint32_t newest)
{
	const char *space = "";

	fmt_char(f, '[');
	for (unsigned i = 0; i < NPAUSE; i++) {
		uint64_t v = ring[(newest - i) % NPAUSE];

		if (!v)
			continue;
		fmt_str(f, space);
		fmt_u64(f, v);
		space = " ";
	}
	fmt_char(f, ']');
}

static void text_bysize(struct fmt *f, const struct gostat_by_size *b)
{
	const char *space = "";

	fmt_char(f, '[');
	for (unsigned i = 0; i < NBYSIZE; i++, b++) {
		if (!b->Mallocs && !b->Frees)
			continue;
		fmt_printf(f, "%s{%u %lu %lu}", space, b->Size, b->Mallocs,
			b->Frees);
		space = " ";
	}
	fmt_char(f, ']');
}

void emit_text(struct fmt *f, const struct gostat_memstats *m)
{
	for (unsigned i = 0; i < emit_nfigures; i++) {
		const struct emit_figure *g = &emit_figures[i];
		const void *p = field(g, m);

		fmt_str(f, g->name);
		fmt_str(f, " = ");
		if (g->kind == EMIT_RING)
			text_ring(f, p, m->NumGC + NPAUSE - 1);
		else if (g->kind == EMIT_BYSIZE)
			text_bysize(f, p);
		else
			scalar(f, g, p);
		fmt_char(f, '\n');
	}
}

static void json_ring(struct fmt *f, const uint64_t *ring)
{
	for (unsigned i = 0; i < NPAUSE; i++) {
		fmt_char(f, i ? ',' : '[');
		fmt_u64(f, ring[i]);
	}
	fmt_char(f, ']');
}

static void json_bysize(struct fmt *f, const struct gostat_by_size *b)
{
	for (unsigned i = 0; i < NBYSIZE; i++, b++) {
		fmt_char(f, i ? ',' : '[');
		fmt_printf(f, "{\"Size\":%u,\"Mallocs\":%lu,\"Frees\":%lu}",
			b->Size, b->Mallocs, b->Frees);
	}
	fmt_char(f, ']');
}

void emit_json(struct fmt *f, const struct gostat_memstats *m)
{
	for (unsigned i = 0; i < emit_nfigures; i++) {
		const struct emit_figure *g = &emit_figures[i];
		const void *p = field(g, m);

		fmt_printf(f, "%c\"%s\":", i ? ',' : '{', g->name);
		if (g->kind == EMIT_RING)
			json_ring(f, p);
		else if (g->kind == EMIT_BYSIZE)
			json_bysize(f, p);
		else
			scalar(f, g, p);
	}
	fmt_char(f, '}');
}
