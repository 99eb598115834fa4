/* SPDX-License-Identifier: MIT */
/*
 * routes_threads: /debug/pprof/goroutine and /debug/pprof/threadcreate.
 *
 *	goroutine?debug=2 ──▶ stop ──▶ copy ──▶ start ──▶ unwind ──▶ text
 *	                        └─ late: again in a moment (ROUTE_WAIT)
 *
 * The world is at rest for as long as copying takes; everything else, the
 * answer's way to the client included, happens while the program runs.
 */
#include "observe/goroutine.h"
#include "observe/routes.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "profile/modules.h"

#include <errno.h>
#include <string.h>

enum {
	RETRY_NS = 20000000,
	RETRIES = 25, /* with 200 ms for each: 5 seconds */
};

static enum route_result failed(struct exchange *x, int error)
{
	if (error == ENOMEM)
		return route_error(x, 503, "out of memory");
	return route_error(x, 500, "no profile (error %d)", error);
}

/* Parameters, and what is mapped; false: answered already. */
static bool prepare(struct exchange *x, uint64_t *debug, struct grow *mem,
	struct pprof_options *o)
{
	if (!http_param_u64(x->req, "debug", 0, INT64_MAX, debug)) {
		route_error(x, 400, "debug is a number");
		return false;
	}
	if (http_param(x->req, "seconds")) {
		route_error(x, 400, "there is no difference (seconds) of this");
		return false;
	}
	modules_refresh();
	if (sources.mappings && !sources.mappings(mem)) {
		failed(x, ENOMEM);
		return false;
	}
	o->mappings = (const void *)mem->p;
	o->nmappings = mem->len / sizeof(struct pprof_mapping);
	return true;
}

static int write_threads(struct exchange *x, const struct goroutines *g,
	uint64_t debug, const struct pprof_options *o)
{
	if (debug >= 2) {
		goroutines_text(&x->out, g);
		return x->out.error;
	}
	if (debug)
		return goroutines_grouped(&x->out, g, o);
	routes_attachment(x, "goroutine");
	return goroutines_pprof(&x->out, g, o);
}

enum route_result route_goroutine(struct exchange *x)
{
	struct goroutines g = GOROUTINES_INIT;
	struct grow maps = GROW_INIT(16 * MIB);
	struct pprof_options o = {0};
	enum stw_result r;
	uint64_t debug;
	int error = 0;

	if (!prepare(x, &debug, &maps, &o)) {
		grow_free(&maps);
		return ROUTE_DONE;
	}
	r = goroutines_take(&g, false);
	if (r == STW_OK)
		error = write_threads(x, &g, debug, &o);
	goroutines_free(&g);
	grow_free(&maps);
	if (r == STW_LATE && x->step < RETRIES) {
		x->again_ns = clock_mono_ns() + RETRY_NS;
		return ROUTE_WAIT;
	}
	if (r != STW_OK)
		return route_error(x, 503, "no stacks: %s",
			sandboxed ? "the program restricts its system calls"
				  : stw_why(r));
	return error ? failed(x, error) : ROUTE_DONE;
}

enum route_result route_threadcreate(struct exchange *x)
{
	struct grow maps = GROW_INIT(16 * MIB);
	struct pprof_options o = {0};
	uint64_t debug;
	int error = 0;

	if (!prepare(x, &debug, &maps, &o)) {
		grow_free(&maps);
		return ROUTE_DONE;
	}
	if (debug) {
		threadcreate_text(&x->out, &o);
	} else {
		routes_attachment(x, "threadcreate");
		error = threadcreate_pprof(&x->out, &o);
	}
	grow_free(&maps);
	return error ? failed(x, error) : ROUTE_DONE;
}
