/* SPDX-License-Identifier: MIT */
/*
 * routes_pprof: /debug/pprof/, as net/http/pprof serves it.
 *
 *	heap?gc=1        cycle ──wait──▶ snapshot ──▶ scale ──▶ gzip
 *	heap?seconds=5   snapshot ──wait──▶ snapshot ──▶ difference ──▶ gzip
 *	heap?debug=1     snapshot ──▶ text
 *
 * Parameters mean what they mean in Go, including that seconds= wins over gc=
 * and can't be had with debug=, and that allocs ignores gc=.
 *
 * Rejected: /debug/pprof/symbol. Profiles carry the names that the symbol tables
 * have (heapprofile.c); whoever wants more has the files.
 */
#include "observe/routes.h"
#include "observe/helper.h"
#include "observe/memstats.h"
#include "os/clock.h"
#include "profile/modules.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum {
	SECONDS_MAX = 24 * 3600,
	GC_POLL_NS = 2000000, /* how often a running cycle is looked at */
};

enum route_result route_cmdline(struct exchange *x)
{
	char args[OS_PAGE];
	size_t n = routes_cmdline(args, sizeof(args));

	fmt_mem(&x->out, args, n && !args[n - 1] ? n - 1 : n);
	return ROUTE_DONE;
}

/* What a browser can show of a profile. */
static const char *page_of(const struct route *r)
{
	if (r->fn == route_goroutine)
		return "?debug=2";
	return r->fn == route_heap || r->fn == route_threadcreate ? "?debug=1"
								  : "";
}

enum route_result route_pprof_index(struct exchange *x)
{
	static const char prefix[] = "/debug/pprof/";

	x->type = "text/html; charset=utf-8";
	fmt_str(&x->out, "<!DOCTYPE html>\n<html><head>"
			 "<title>/debug/pprof/</title></head><body>\n"
			 "<h1>/debug/pprof/</h1>\n<table>\n");
	for (const struct route *r = routes; r->path; r++) {
		const char *name = r->path + strlen(prefix);

		if (!r->fn || strncmp(r->path, prefix, strlen(prefix)) ||
			!*name)
			continue;
		fmt_printf(&x->out,
			"<tr><td><a href=\"%s%s\">%s</a></td>"
			"<td>%s</td></tr>\n",
			name, page_of(r), name, r->help);
	}
	fmt_str(&x->out, "</table>\n</body></html>\n");
	return ROUTE_DONE;
}

/* What a request for a heap profile remembers while it waits. */
struct heap_wait {
	uint64_t seconds, debug;
	bool gc, allocs;
	uint64_t ticket; /* of the cycle */
	struct pprof_snapshot before;
};

static void drop_wait(struct exchange *x)
{
	struct heap_wait *w = x->state;

	pprof_free(&w->before);
	sysmem_unmap(w, OS_PAGE, SYS_OTHER);
}

static enum route_result failed(struct exchange *x, int error)
{
	if (error == ENOMEM)
		return route_error(x, 503, "out of memory");
	return route_error(x, 500, "no profile (error %d)", error);
}

static void array(struct fmt *f, const char *name, const uint64_t *v, size_t n)
{
	fmt_printf(f, "# %s = [", name);
	for (size_t i = 0; i < n; i++)
		fmt_printf(f, i ? " %lu" : "%lu", v[i]);
	fmt_str(f, "]\n");
}

static void pair(struct fmt *f, const char *name, uint64_t inuse, uint64_t sys)
{
	fmt_printf(f, "# %s = %lu / %lu\n", name, inuse, sys);
}

/* MemStats the way Go prints them behind a profile. */
static void trailer(struct fmt *f)
{
	struct gostat_memstats m;
	struct rusage usage = {0};

	helper_fds_lock();
	memstats_read(&m);
	helper_fds_unlock();
#define LINE(field)                                                            \
	fmt_printf(f, "# %s = %lu\n", #field, (unsigned long)m.field)
	fmt_str(f, "\n# runtime.MemStats\n");
	LINE(Alloc);
	LINE(TotalAlloc);
	LINE(Sys);
	LINE(Lookups);
	LINE(Mallocs);
	LINE(Frees);
	LINE(HeapAlloc);
	LINE(HeapSys);
	LINE(HeapIdle);
	LINE(HeapInuse);
	LINE(HeapReleased);
	LINE(HeapObjects);
	pair(f, "Stack", m.StackInuse, m.StackSys);
	pair(f, "MSpan", m.MSpanInuse, m.MSpanSys);
	pair(f, "MCache", m.MCacheInuse, m.MCacheSys);
	LINE(BuckHashSys);
	LINE(GCSys);
	LINE(OtherSys);
	LINE(NextGC);
	LINE(LastGC);
	array(f, "PauseNs", m.PauseNs, NELEM(m.PauseNs));
	array(f, "PauseEnd", m.PauseEnd, NELEM(m.PauseEnd));
	LINE(NumGC);
	LINE(NumForcedGC);
#undef LINE
	fmt_str(f, "# GCCPUFraction = ");
	fmt_f64(f, m.GCCPUFraction);
	fmt_str(f, "\n# DebugGC = false\n");
	sys2(SYS_getrusage, RUSAGE_SELF, &usage);
	fmt_printf(f, "# MaxRSS = %ld\n", usage.ru_maxrss * 1024);
}

void routes_attachment(struct exchange *x, const char *name)
{
	struct fmt f;

	x->type = "application/octet-stream";
	fmt_init(&f, x->extra, sizeof(x->extra), -1);
	fmt_printf(&f, "Content-Disposition: attachment; filename=\"%s\"\r\n",
		name);
	fmt_cstr(&f);
}

int routes_places(struct pprof_options *o, struct grow *maps)
{
	modules_refresh();
	if (sources.mappings && !sources.mappings(maps))
		return ENOMEM;
	o->mappings = (const void *)maps->p;
	o->nmappings = maps->len / sizeof(struct pprof_mapping);
	o->frames = sources.frames;
	o->generation = sources.generation;
	o->names = sources.names;
	return 0;
}

static int write_profile(struct exchange *x, struct heap_wait *w,
	struct pprof_snapshot *now, struct grow *maps)
{
	struct pprof_options o = {.rate = sources.profile_rate(),
		.allocs = w->allocs};
	int error = routes_places(&o, maps);

	if (error)
		return error;
	if (w->debug)
		return pprof_write_text(&x->out, now, &o, trailer);
	pprof_scale(now, o.rate);
	if (w->seconds) {
		pprof_scale(&w->before, o.rate);
		pprof_subtract(now, &w->before);
	}
	routes_attachment(x, w->seconds  ? w->allocs ? "allocs-delta"
						  : "heap-delta"
			: w->allocs ? "allocs"
				    : "heap");
	return pprof_write_gz(&x->out, now, &o);
}

static enum route_result answer(struct exchange *x, struct heap_wait *w)
{
	struct pprof_snapshot now = PPROF_SNAPSHOT_INIT;
	struct grow maps = GROW_INIT(16 * MIB);
	int error = sources.heap(&now);

	if (!error)
		error = write_profile(x, w, &now, &maps);
	pprof_free(&now);
	grow_free(&maps);
	return error ? failed(x, error) : ROUTE_DONE;
}

static enum route_result begin(struct exchange *x)
{
	static const char bad[] = "debug, gc and seconds are numbers";
	struct heap_wait *w = sysmem_map(NULL, OS_PAGE, SYS_OTHER);
	uint64_t gc;
	int error;

	if (!w)
		return failed(x, ENOMEM);
	w->before = (struct pprof_snapshot)PPROF_SNAPSHOT_INIT;
	x->state = w;
	x->drop = drop_wait;
	w->allocs = !strcmp(x->req->path, "/debug/pprof/allocs");
	if (!http_param_u64(x->req, "debug", 0, INT64_MAX, &w->debug) ||
		!http_param_u64(x->req, "gc", 0, INT64_MAX, &gc) ||
		!http_param_u64(x->req, "seconds", 0, SECONDS_MAX,
			&w->seconds))
		return route_error(x, 400, bad);
	if (http_param(x->req, "seconds") && !w->seconds)
		return route_error(x, 400, "seconds is a positive number");
	if (w->seconds && w->debug)
		return route_error(x, 400,
			"a difference (seconds) has no text form (debug)");
	if (w->seconds) {
		error = sources.heap(&w->before);
		if (error)
			return failed(x, error);
		x->again_ns = clock_mono_ns() +
			(int64_t)w->seconds * 1000000000;
		return ROUTE_WAIT;
	}
	if (gc && !w->allocs && sources.gc_start) {
		w->gc = true;
		w->ticket = sources.gc_start();
		x->again_ns = clock_mono_ns() + GC_POLL_NS;
		return ROUTE_WAIT;
	}
	return answer(x, w);
}

enum route_result route_heap(struct exchange *x)
{
	struct heap_wait *w = x->state;

	if (!sources.heap || !sources.profile_rate)
		return route_error(x, 501, "there is no heap profile");
	if (x->step == 0)
		return begin(x);
	if (w->gc && !sources.gc_done(w->ticket)) {
		x->again_ns = clock_mono_ns() + GC_POLL_NS;
		return ROUTE_WAIT;
	}
	return answer(x, w);
}
