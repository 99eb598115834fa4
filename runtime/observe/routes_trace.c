/* SPDX-License-Identifier: MIT */
/*
 * routes_trace: /debug/pprof/trace, an execution trace of the next N seconds.
 *
 * As in Go one second if not said otherwise, fractions allowed, and one trace
 * at a time: whoever comes second is told so (409). The events are collected
 * ten times a second into the answer, which leaves when the time is over.
 */
#include "observe/routes.h"
#include "observe/trace.h"
#include "os/clock.h"

#include <errno.h>
#include <string.h>

enum { SECONDS_MAX = 24 * 3600 };

/* "1", "0.25" to nanoseconds; 0 if it is not such a number. */
static int64_t parse_seconds(const char *p)
{
	int64_t ns = 0, unit = 1000000000;

	for (; *p >= '0' && *p <= '9' && ns <= SECONDS_MAX * unit; p++)
		ns = ns * 10 + (*p - '0') * unit;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++) {
			unit /= 10;
			ns += (*p - '0') * unit;
		}
	return *p || ns > SECONDS_MAX * INT64_C(1000000000) ? 0 : ns;
}

/* The trace that is being taken, in x->state; its end is x->until_ns. */
static uint32_t token(const struct exchange *x)
{
	return (uint32_t)(uintptr_t)x->state;
}

static void drop(struct exchange *x)
{
	trace_stop(token(x), NULL);
}

static enum route_result wait(struct exchange *x)
{
	x->again_ns = MIN(x->until_ns,
		clock_mono_ns() + TRACE_PERIOD_MS * INT64_C(1000000));
	return ROUTE_WAIT;
}

static enum route_result begin(struct exchange *x)
{
	const char *seconds = http_param(x->req, "seconds");
	const char *format = http_param(x->req, "format");
	bool perfetto = format && !strcmp(format, "perfetto");
	int64_t ns = seconds ? parse_seconds(seconds) : 1000000000;
	uint32_t new;
	int error;

	if (!ns)
		return route_error(x, 400, "seconds is a positive number");
	if (format && !perfetto && strcmp(format, "go"))
		return route_error(x, 400, "format is go or perfetto");
	error = trace_start(
		perfetto ? &trace_format_perfetto : &trace_format_go, &x->out,
		&new);
	if (error == EBUSY)
		return route_error(x, 409, "another trace is being taken");
	if (error)
		return route_error(x, 503, "out of memory");
	x->state = (void *)(uintptr_t)new;
	x->drop = drop;
	x->type = perfetto ? "application/json" : "application/octet-stream";
	strcpy(x->extra,
		perfetto ? "Content-Disposition: attachment; "
			   "filename=\"trace.json\"\r\n"
			 : "Content-Disposition: attachment; "
			   "filename=\"trace\"\r\n");
	x->until_ns = clock_mono_ns() + ns;
	return wait(x);
}

enum route_result route_trace(struct exchange *x)
{
	if (x->step == 0)
		return begin(x);
	if (clock_mono_ns() < x->until_ns) {
		trace_read(token(x), &x->out);
		return wait(x);
	}
	if (trace_stop(token(x), &x->out))
		return route_error(x, 503, "out of memory");
	return ROUTE_DONE;
}
