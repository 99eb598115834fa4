/* SPDX-License-Identifier: MIT */
/*
 * routes_gc: POST /gc and GET /leaks.
 *
 *	/gc      ask ──wait──▶ the cycle's figures
 *	/leaks   has there been a cycle? ──▶ report
 *	         no: ask ──wait──▶ report
 *
 * /leaks shows the last cycle's findings, so that looking costs nothing; only
 * who looks before the first one has to wait for it.
 */
#include "gc/gcstats.h"
#include "observe/gcreport.h"
#include "observe/gcrun.h"
#include "observe/routes.h"
#include "os/clock.h"
#include "os/sysmem.h"
#include "profile/modules.h"

#include <errno.h>
#include <string.h>

enum { POLL_NS = 1000000 };

/* What a request remembers while it waits. */
struct gc_wait {
	uint64_t ticket;
	uint64_t objects, bytes; /* reclaimed before */
	int64_t cpu_ns;
};

static void drop(struct exchange *x)
{
	sysmem_unmap(x->state, OS_PAGE, SYS_OTHER);
}

/* Ask for a cycle. */
static enum route_result ask(struct exchange *x, bool leaks)
{
	struct gc_wait *w = sysmem_map(NULL, OS_PAGE, SYS_OTHER);
	struct gcstats s;

	if (!w)
		return route_error(x, 503, "out of memory");
	x->state = w;
	x->drop = drop;
	gcstats_read(&s);
	w->objects = s.reclaimed_objects;
	w->bytes = s.reclaimed_bytes;
	w->cpu_ns = s.cpu_ns;
	w->ticket = gcrun_ask(leaks);
	x->again_ns = clock_mono_ns() + POLL_NS;
	return ROUTE_WAIT;
}

static bool waiting(struct exchange *x)
{
	const struct gc_wait *w = x->state;

	if (gcrun_done(w->ticket))
		return false;
	x->again_ns = clock_mono_ns() + POLL_NS;
	return true;
}

static bool wants_json(const struct exchange *x, const char *other, bool *json)
{
	const char *format = http_param(x->req, "format");

	*json = format && !strcmp(format, "json");
	return !format || *json || !strcmp(format, "text") ||
	       (other && !strcmp(format, other));
}

static void figures(struct exchange *x, bool json)
{
	const struct gc_wait *w = x->state;
	struct gcstats s;

	gcstats_read(&s);
	const struct {
		const char *name;
		uint64_t value;
	} v[] = {
		{"NumGC", s.numgc},
		{"PauseNs", s.pause_ns[(s.numgc + GC_PAUSES - 1) % GC_PAUSES]},
		{"CPUNs", (uint64_t)(s.cpu_ns - w->cpu_ns)},
		{"LiveBytes", s.marked_bytes},
		{"LeakedObjects", s.leaked_objects},
		{"LeakedBytes", s.leaked_bytes},
		{"ReclaimedObjects", s.reclaimed_objects - w->objects},
		{"ReclaimedBytes", s.reclaimed_bytes - w->bytes},
		{"NextGC", s.next_gc},
	};

	for (unsigned i = 0; i < NELEM(v); i++)
		fmt_printf(&x->out, json ? "%s\"%s\":%lu" : "%s%s = %lu\n",
			!json  ? ""
			: i    ? ","
			       : "{",
			v[i].name, v[i].value);
	if (json)
		fmt_str(&x->out, "}\n");
}

enum route_result route_gc(struct exchange *x)
{
	bool json;

	if (!wants_json(x, NULL, &json))
		return route_error(x, 400, "format is text or json");
	if (x->step == 0)
		return ask(x, options->gc == GC_REPORT);
	if (waiting(x))
		return ROUTE_WAIT;
	if (gcrun_error())
		return route_error(x, 503, "%s", gcrun_error());
	if (json)
		x->type = "application/json; charset=utf-8";
	figures(x, json);
	return ROUTE_DONE;
}

static int write_pprof(struct exchange *x, struct pprof_snapshot *s,
	struct grow *maps)
{
	struct pprof_options o = {.rate = 1};
	int error = routes_places(&o, maps);

	if (error)
		return error;
	routes_attachment(x, "leaks");
	return pprof_write_gz(&x->out, s, &o);
}

static enum route_result pprof(struct exchange *x)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	struct grow maps = GROW_INIT(16 * MIB);
	int error = gcreport_take(&s);

	if (!error)
		error = write_pprof(x, &s, &maps);
	pprof_free(&s);
	grow_free(&maps);
	return error ? route_error(x, 503, "out of memory") : ROUTE_DONE;
}

enum route_result route_leaks(struct exchange *x)
{
	const char *format = http_param(x->req, "format"), *why = NULL;
	bool json;

	if (!wants_json(x, "pprof", &json))
		return route_error(x, 400, "format is json, text or pprof");
	if (x->step == 0 && !gcreport_have())
		return ask(x, true);
	if (x->state && waiting(x))
		return ROUTE_WAIT;
	if (x->state)
		why = gcrun_error();
	if (format && !strcmp(format, "pprof"))
		return why ? route_error(x, 503, "%s", why) : pprof(x);
	if (json)
		x->type = "application/json; charset=utf-8";
	modules_refresh();
	gcreport_write(&x->out, why, json);
	return ROUTE_DONE;
}
