/* SPDX-License-Identifier: MIT */
/*
 * emit_prometheus: the go_ families, from MemStats and a few more facts.
 *
 * What follows from MemStats comes from the table in emit.c; what does not
 * stands in extras[] with a function for each. Prometheus wants families
 * sorted, people want Go's order: instead of a second list to keep in step,
 * each round picks the smallest name that is greater than the one before (40
 * names, 40 rounds).
 *
 * Values are doubles spelled as Go's client spells them, so that a scrape looks
 * the same: 1.2762128e+07, not 12762128.
 *
 * Rejected: sorting the pauses for the summary's quantiles. A copy takes 2 KiB
 * of what may be an 8 KiB signal stack; counting ranks takes none.
 */
#include "observe/emit.h"

#include <string.h>

enum { NPAUSE = NELEM(((struct gostat_memstats *)0)->PauseNs) };

static size_t stem_length(const char *name)
{
	size_t n = strlen(name);

	return n > 6 && !strcmp(name + n - 6, "_total") ? n - 6 : n;
}

void emit_family(struct fmt *f, const char *name, const char *type,
	const char *help, bool openmetrics)
{
	int n = (int)strlen(name);

	if (openmetrics && !strcmp(type, "counter"))
		n = (int)stem_length(name);
	fmt_printf(f, "# HELP %.*s %s\n", n, name, help);
	fmt_printf(f, "# TYPE %.*s %s\n", n, name, type);
}

static void sample(struct fmt *f, const char *name, double v)
{
	fmt_str(f, name);
	fmt_char(f, ' ');
	fmt_f64(f, v);
	fmt_char(f, '\n');
}

/* The value of given rank (0: smallest) among the newest n pauses. */
static uint64_t pause_of_rank(
	const struct gostat_memstats *m, unsigned n, unsigned rank)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned less = 0, equal = 0;

		for (unsigned j = 0; j < n; j++) {
			less += m->PauseNs[j] < m->PauseNs[i];
			equal += m->PauseNs[j] == m->PauseNs[i];
		}
		if (less <= rank && rank < less + equal)
			return m->PauseNs[i];
	}
	return 0;
}

static void pauses(struct fmt *f, const char *name,
	const struct gostat_memstats *m, const struct emit_env *env UNUSED)
{
	static const char *const quantiles[] = {
		"0", "0.25", "0.5", "0.75", "1"};
	unsigned n = MIN(m->NumGC, NPAUSE);

	for (unsigned i = 0; i < NELEM(quantiles); i++) {
		uint64_t ns =
			n ? pause_of_rank(m, n, MIN(n * i / 4, n - 1)) : 0;

		fmt_printf(f, "%s{quantile=\"%s\"} ", name, quantiles[i]);
		fmt_f64(f, (double)ns / 1e9);
		fmt_char(f, '\n');
	}
	fmt_printf(f, "%s_sum ", name);
	fmt_f64(f, (double)m->PauseTotalNs / 1e9);
	fmt_printf(f, "\n%s_count %u\n", name, m->NumGC);
}

static void gogc(struct fmt *f, const char *name,
	const struct gostat_memstats *m UNUSED, const struct emit_env *env)
{
	/* Off is -1 read as unsigned, as in Go's client. */
	sample(f, name, env->gogc < 0 ? 0x1p64 : (double)env->gogc);
}

static void memlimit(struct fmt *f, const char *name,
	const struct gostat_memstats *m UNUSED, const struct emit_env *env)
{
	sample(f, name, (double)env->memlimit);
}

static void threads(struct fmt *f, const char *name,
	const struct gostat_memstats *m UNUSED, const struct emit_env *env)
{
	sample(f, name, env->threads);
}

static void gomaxprocs(struct fmt *f, const char *name,
	const struct gostat_memstats *m UNUSED, const struct emit_env *env)
{
	sample(f, name, env->gomaxprocs);
}

static void info(struct fmt *f, const char *name,
	const struct gostat_memstats *m UNUSED,
	const struct emit_env *env UNUSED)
{
	fmt_printf(f, "%s{version=\"gostat%s\"} 1\n", name, GOSTAT_VERSION);
}

static const struct extra {
	const char *metric, *type, *help;
	void (*emit)(struct fmt *f, const char *name,
		const struct gostat_memstats *m, const struct emit_env *env);
} extras[] = {
	{"go_gc_duration_seconds", "summary", "Pauses of the last collections.",
		pauses},
	{"go_gc_gogc_percent", "gauge",
		"Growth of the heap that starts a collection (GOGC).", gogc},
	{"go_gc_gomemlimit_bytes", "gauge",
		"Soft limit on memory (GOMEMLIMIT).", memlimit},
	{"go_goroutines", "gauge", "Threads of the program.", threads},
	{"go_info", "gauge", "Which library counts.", info},
	{"go_sched_gomaxprocs_threads", "gauge",
		"CPUs that the process may use.", gomaxprocs},
	{"go_threads", "gauge", "Threads of the process.", threads},
};

/* The family that follows name; the one of the two that it is in is set. */
struct family {
	const char *name;
	const struct emit_figure *figure;
	const struct extra *extra;
};

static struct family family_after(const char *name)
{
	struct family next = {0};

	for (unsigned i = 0; i < emit_nfigures; i++) {
		const char *s = emit_figures[i].metric;

		if (s && strcmp(s, name) > 0 &&
			(!next.name || strcmp(s, next.name) < 0))
			next = (struct family){s, &emit_figures[i], NULL};
	}
	for (unsigned i = 0; i < NELEM(extras); i++) {
		const char *s = extras[i].metric;

		if (strcmp(s, name) > 0 &&
			(!next.name || strcmp(s, next.name) < 0))
			next = (struct family){s, NULL, &extras[i]};
	}
	return next;
}

/* Is there a family that is called like name without its _total? */
static bool stem_is_taken(const char *name)
{
	size_t n = stem_length(name);

	for (unsigned i = 0; i < emit_nfigures; i++) {
		const char *s = emit_figures[i].metric;

		if (s && strlen(s) == n && !memcmp(s, name, n))
			return true;
	}
	return false;
}

static void figure(struct fmt *f, const struct emit_figure *g,
	const struct gostat_memstats *m, bool openmetrics)
{
	const void *p = (const char *)m + g->offset;
	const char *type = g->type;

	/* alloc_bytes and alloc_bytes_total would share one name there. */
	if (openmetrics && !strcmp(type, "counter") && stem_is_taken(g->metric))
		type = "unknown";
	emit_family(f, g->metric, type, g->help, openmetrics);
	sample(f, g->metric,
		g->kind == EMIT_F64 ? *(const double *)p
				    : (double)*(const uint64_t *)p / g->scale);
}

void emit_prometheus(struct fmt *f, const struct gostat_memstats *m,
	const struct emit_env *env, bool openmetrics)
{
	struct family next = family_after("");

	for (; next.name; next = family_after(next.name)) {
		if (next.figure) {
			figure(f, next.figure, m, openmetrics);
			continue;
		}
		emit_family(f, next.extra->metric, next.extra->type,
			next.extra->help, openmetrics);
		next.extra->emit(f, next.name, m, env);
	}
}
