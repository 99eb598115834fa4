/* SPDX-License-Identifier: MIT */
/*
 * metrics: the page that Prometheus scrapes.
 *
 *	emit_prometheus()  go_...       MemStats, as Go's client spells them
 *	metrics_gostat()   gostat_...   what Go has no name for
 *	metrics_process()  process_...  from /proc/self
 *
 * The three prefixes are in alphabetical order, so the page is sorted by
 * family as long as each part is.
 *
 * Rules kept here: base units (bytes, seconds), _total on counters, labels
 * from fixed sets only. Every label value appears from the first scrape, since
 * a counter that comes into being at 5 makes rate() miss the 5.
 *
 * Rejected: one sample per large size. The allocator has 128 of them, and
 * their sum says as much; they are the class "large".
 */
#include "observe/metrics.h"
#include "alloc/stats.h"
#include "profile/bucket.h"

const uint64_t metrics_pause_bounds[METRICS_NPAUSE] = {10000, 25000, 50000,
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 100000000,
	1000000000};

static const char *const reasons[METRICS_NREASON] = {
	[METRICS_FORCED] = "forced",
	[METRICS_HEAP] = "heap",
	[METRICS_LIMIT] = "limit",
	[METRICS_PERIODIC] = "periodic",
};

static const char *const outcomes[METRICS_NOUTCOME] = {
	[METRICS_ABORTED] = "aborted",
	[METRICS_COMPLETED] = "completed",
	[METRICS_REFUSED] = "refused",
};

unsigned metrics_pause_bucket(uint64_t ns)
{
	unsigned i = 0;

	while (i < METRICS_NPAUSE && ns > metrics_pause_bounds[i])
		i++;
	return i;
}

static void read_class(struct metrics_class *c, const struct heapstats *h,
	unsigned r)
{
	uint64_t live = h->of[r].mallocs - h->of[r].frees;

	c->allocs += h->of[r].mallocs;
	c->frees += h->of[r].frees;
	c->live_bytes += live * rec_bytes(r);
	if (r < NSIZECLASS)
		c->inuse_bytes += h->of[r].npages << PAGE_SHIFT;
}

/* What the heap profile has counted, all its buckets together. */
static uint64_t samples(void)
{
	uint64_t sum = 0;

	for (size_t i = 0, n = bucket_count(); i < n; i++) {
		const struct bucket *b = bucket_at(i);

		if (b)
			sum += load_relaxed(&b->allocs);
	}
	return sum;
}

void metrics_read_heap(struct metrics *s)
{
	struct heapstats h;
	struct metrics_class *large;
	uint64_t small_inuse = 0, small_live = 0;

	_Static_assert((int)NSIZECLASS <= (int)METRICS_NCLASS, "room");
	heapstats_read(&h);
	s->scavenged_bytes = h.scavenged_total;
	s->profile_samples = samples();
	s->nclasses = 0;
	for (unsigned r = 1; r < NSIZECLASS; r++) {
		struct metrics_class *c = &s->class[s->nclasses++];

		*c = (struct metrics_class){.size = sizeclasses[r].size};
		read_class(c, &h, r);
		small_inuse += c->inuse_bytes;
		small_live += c->live_bytes;
	}
	large = &s->class[s->nclasses++];
	*large = (struct metrics_class){0};
	for (unsigned r = NSIZECLASS; r < NREC; r++)
		read_class(large, &h, r);
	large->allocs += h.of[0].mallocs;
	large->frees += h.of[0].frees;
	large->inuse_bytes = h.inuse - small_inuse;
	large->live_bytes = h.alloc - small_live;
}

static void counter(struct fmt *f, const char *name, const char *help,
	uint64_t v, bool openmetrics)
{
	emit_family(f, name, "counter", help, openmetrics);
	fmt_printf(f, "%s %lu\n", name, v);
}

static void gauge(struct fmt *f, const char *name, const char *help,
	uint64_t v, bool openmetrics)
{
	emit_family(f, name, "gauge", help, openmetrics);
	fmt_printf(f, "%s %lu\n", name, v);
}

static void build_info(struct fmt *f, bool openmetrics)
{
	emit_family(f, "gostat_build_info", "gauge",
		"Constant 1, labelled with the library's version.",
		openmetrics);
	fmt_str(f, "gostat_build_info{version=\"" GOSTAT_VERSION "\"} 1\n");
}

static void cycles(struct fmt *f, const struct metrics *s, bool openmetrics)
{
	emit_family(f, "gostat_cycles_total", "counter",
		"Collection cycles by what started them and how they ended.",
		openmetrics);
	for (unsigned r = 0; r < METRICS_NREASON; r++)
		for (unsigned o = 0; o < METRICS_NOUTCOME; o++)
			fmt_printf(f,
				"gostat_cycles_total{outcome=\"%s\","
				"reason=\"%s\"} %lu\n",
				outcomes[o], reasons[r], s->cycles[r][o]);
}

static void pauses(struct fmt *f, const struct metrics *s, bool openmetrics)
{
	static const char name[] = "gostat_pause_seconds";
	uint64_t sum = 0;

	emit_family(f, name, "histogram",
		"How long the program stood still, for each stop.",
		openmetrics);
	for (unsigned i = 0; i < METRICS_NPAUSE; i++) {
		sum += s->pauses[i];
		fmt_printf(f, "%s_bucket{le=\"", name);
		fmt_f64(f, (double)metrics_pause_bounds[i] / 1e9);
		fmt_printf(f, "\"} %lu\n", sum);
	}
	sum += s->pauses[METRICS_NPAUSE];
	fmt_printf(f, "%s_bucket{le=\"+Inf\"} %lu\n%s_sum ", name, sum, name);
	fmt_f64(f, (double)s->pause_total_ns / 1e9);
	fmt_printf(f, "\n%s_count %lu\n", name, sum);
}

static uint64_t class_allocs(const struct metrics_class *c)
{
	return c->allocs;
}

static uint64_t class_frees(const struct metrics_class *c)
{
	return c->frees;
}

static uint64_t class_live(const struct metrics_class *c)
{
	return c->allocs - c->frees;
}

static uint64_t class_waste(const struct metrics_class *c)
{
	return c->inuse_bytes - MIN(c->live_bytes, c->inuse_bytes);
}

static const struct class_family {
	const char *name, *type, *help;
	uint64_t (*value)(const struct metrics_class *c);
} class_families[] = {
	{"gostat_sizeclass_allocs_total", "counter",
		"Objects allocated, by size of their slot in bytes.",
		class_allocs},
	{"gostat_sizeclass_frees_total", "counter",
		"Objects freed, by size of their slot in bytes.", class_frees},
	{"gostat_sizeclass_live_objects", "gauge",
		"Objects that are allocated now, by size of their slot.",
		class_live},
	{"gostat_sizeclass_waste_bytes", "gauge",
		"Bytes of a size class's pages that hold no object.",
		class_waste},
};

static void classes(struct fmt *f, const struct metrics *s, bool openmetrics)
{
	for (unsigned i = 0; i < NELEM(class_families); i++) {
		const struct class_family *c = &class_families[i];

		emit_family(f, c->name, c->type, c->help, openmetrics);
		for (unsigned k = 0; k < s->nclasses; k++) {
			fmt_printf(f, "%s{size=\"", c->name);
			if (s->class[k].size)
				fmt_u64(f, s->class[k].size);
			else
				fmt_str(f, "large");
			fmt_printf(f, "\"} %lu\n", c->value(&s->class[k]));
		}
	}
}

void metrics_gostat(struct fmt *f, const struct metrics *s, bool openmetrics)
{
	build_info(f, openmetrics);
	cycles(f, s, openmetrics);
	counter(f, "gostat_dump_errors_total",
		"Dumps that could not be written.", s->dump_errors,
		openmetrics);
	gauge(f, "gostat_leaked_bytes",
		"Bytes that the last cycle found unreachable.",
		s->leaked_bytes, openmetrics);
	gauge(f, "gostat_leaked_objects",
		"Objects that the last cycle found unreachable.",
		s->leaked_objects, openmetrics);
	pauses(f, s, openmetrics);
	counter(f, "gostat_profile_samples_total",
		"Allocations recorded by the heap profile.",
		s->profile_samples, openmetrics);
	counter(f, "gostat_scavenged_bytes_total",
		"Bytes of free pages given back to the system.",
		s->scavenged_bytes, openmetrics);
	classes(f, s, openmetrics);
	counter(f, "gostat_snapshots_aborted_total",
		"Snapshots of the heap that were given up.",
		s->snapshots_aborted, openmetrics);
	counter(f, "gostat_trace_dropped_total",
		"Trace events lost because the reader was slow.",
		s->trace_dropped, openmetrics);
}

void metrics_page(struct fmt *f, const struct gostat_memstats *m,
	const struct emit_env *env, const struct metrics *s, bool openmetrics)
{
	emit_prometheus(f, m, env, openmetrics);
	metrics_gostat(f, s, openmetrics);
	metrics_process(f, openmetrics);
	if (openmetrics)
		fmt_str(f, "# EOF\n");
}

const char *metrics_content_type(bool openmetrics)
{
	return openmetrics ? "application/openmetrics-text; version=1.0.0; "
			     "charset=utf-8"
			   : "text/plain; version=0.0.4; charset=utf-8";
}
