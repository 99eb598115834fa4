/* SPDX-License-Identifier: MIT */
/*
 * routes: which path is answered by whom.
 *
 *	httpd ──▶ routes_begin() ──▶ routes[] ──▶ fn(x) ──▶ ROUTE_DONE
 *	             ▲                              └─▶ ROUTE_WAIT ─┐
 *	             └───────────── routes_again(), later ──────────┘
 *
 * The table below is all there is to know about a path: methods, function,
 * help. A row without a function answers 501, so that the page of the index
 * and the answers tell the same. Whoever has the data writes the function and
 * puts its name into the row.
 *
 * A route must not block: the helper serves everybody. What takes time is
 * begun, and asked for again after a while (ROUTE_WAIT).
 *
 * Rejected: a stream from route to socket. A slow reader would hold a route,
 * and a snapshot, for as long as it likes; an answer in memory of its own is
 * bounded, and has a Content-Length.
 */
#include "observe/routes.h"
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "base/json.h"
#include "base/optparse.h"
#include "observe/dumpfile.h"
#include "observe/heapprofile.h"
#include "observe/helper.h"
#include "observe/memstats.h"
#include "observe/trace.h"
#include "os/procfile.h"
#include "profile/stacktab.h"

#include <string.h>

struct sources sources = {
	.heap = heapprofile_take,
	.frames = stacktab_frames,
	.generation = stacktab_generation,
	.names = heapprofile_names,
	.profile_rate = heapprofile_rate,
	.mappings = heapprofile_mappings,
};

/*
 * What opens files of /proc for a moment: fork must not see the descriptor,
 * which the child would keep.
 */
static void read_memstats(struct gostat_memstats *m)
{
	helper_fds_lock();
	memstats_read(m);
	helper_fds_unlock();
}

size_t routes_cmdline(char *args, size_t cap)
{
	size_t n;

	helper_fds_lock();
	n = procfile_read("/proc/self/cmdline", args, cap);
	helper_fds_unlock();
	return n;
}

static const char text_plain[] = "text/plain; charset=utf-8";
static const char application_json[] = "application/json; charset=utf-8";

static enum route_result route_index(struct exchange *x)
{
	fmt_printf(&x->out, "gostat %s, %s, pid %d\n\n", GOSTAT_VERSION,
		dumpfile_program(), dumpfile_pid());
	for (const struct route *r = routes; r->path; r++)
		if (r->fn)
			fmt_printf(&x->out, "%-4s %-26s %s\n",
				r->methods & 1 << HTTP_GET	  ? "GET"
					: r->methods & 1 << HTTP_POST ? "POST"
								      : "PUT",
				r->path, r->help);
	return ROUTE_DONE;
}

static enum route_result route_memstats(struct exchange *x)
{
	const char *format = http_param(x->req, "format");
	struct gostat_memstats m;

	if (format && strcmp(format, "text") && strcmp(format, "json"))
		return route_error(x, 400, "format is text or json");
	read_memstats(&m);
	if (format && !strcmp(format, "json")) {
		x->type = application_json;
		emit_json(&x->out, &m);
		fmt_char(&x->out, '\n');
	} else {
		fmt_printf(&x->out, "gostat: MemStats of %s (pid %d)\n",
			dumpfile_program(), dumpfile_pid());
		emit_text(&x->out, &m);
	}
	return ROUTE_DONE;
}

/* Go's expvar: one object, a line for each variable. */
static enum route_result route_vars(struct exchange *x)
{
	char args[OS_PAGE];
	size_t n = routes_cmdline(args, sizeof(args));
	struct gostat_memstats m;

	x->type = application_json;
	fmt_str(&x->out, "{\n\"cmdline\": [");
	for (size_t at = 0; at < n; at += strlen(args + at) + 1) {
		fmt_str(&x->out, at ? "," : "");
		json_string(&x->out, args + at, strlen(args + at));
	}
	read_memstats(&m);
	fmt_str(&x->out, "],\n\"memstats\": ");
	emit_json(&x->out, &m);
	fmt_str(&x->out, "\n}\n");
	return ROUTE_DONE;
}

static enum route_result route_metrics(struct exchange *x)
{
	bool openmetrics = x->req->openmetrics;
	struct gostat_memstats m;
	struct metrics s = {0};
	struct emit_env env;

	metrics_read_heap(&s);
	if (sources.metrics)
		sources.metrics(&s);
	s.dump_errors = dumpfile_failures();
	s.trace_dropped = trace_dropped();
	x->type = metrics_content_type(openmetrics);
	helper_fds_lock();
	memstats_read(&m);
	emit_env_read(&env);
	metrics_page(&x->out, &m, &env, &s, openmetrics);
	helper_fds_unlock();
	return ROUTE_DONE;
}

static enum route_result route_freeosmemory(struct exchange *x)
{
	struct gostat_memstats before, after;

	read_memstats(&before);
	mheap_free_os_memory();
	read_memstats(&after);
	fmt_printf(&x->out, "HeapReleased = %lu\nHeapIdle = %lu\nfreed = %lu\n",
		after.HeapReleased, after.HeapIdle,
		after.HeapReleased -
			MIN(before.HeapReleased, after.HeapReleased));
	return ROUTE_DONE;
}

/* The value of a PUT without the line end that people's shells add. */
static const char *put_value(struct exchange *x, char *buf, size_t cap)
{
	size_t n = strcspn(x->body, "\r\n");

	if (!n || n >= cap || strspn(x->body + n, "\r\n") != strlen(x->body + n))
		return NULL;
	memcpy(buf, x->body, n);
	buf[n] = '\0';
	return buf;
}

static enum route_result route_memlimit(struct exchange *x)
{
	char buf[HTTP_BODY_MAX + 1];
	const char *value = put_value(x, buf, sizeof(buf));
	int64_t limit;

	if (!value || !optparse_memlimit(value, &limit, NULL) || limit < 0)
		return route_error(x, 400,
			"the body is a size like 512MiB, or off");
	fmt_printf(&x->out, "%ld\n", gostat_set_memory_limit(limit));
	return ROUTE_DONE;
}

static enum route_result route_gogc(struct exchange *x)
{
	char buf[HTTP_BODY_MAX + 1];
	const char *value = put_value(x, buf, sizeof(buf));
	int32_t percent, old;

	if (!sources.set_gogc)
		return route_error(x, 501, "there is no collector");
	if (!value || !optparse_gogc(value, &percent, NULL))
		return route_error(x, 400, "the body is a percentage, or off");
	old = sources.set_gogc(percent);
	if (old < 0)
		fmt_str(&x->out, "off\n");
	else
		fmt_printf(&x->out, "%d\n", old);
	return ROUTE_DONE;
}

static enum route_result route_profilerate(struct exchange *x)
{
	static const struct range any = {0, INT64_MAX};
	char buf[HTTP_BODY_MAX + 1];
	const char *value = put_value(x, buf, sizeof(buf));
	uint64_t rate;

	if (!sources.set_profile_rate)
		return route_error(x, 501, "there is no heap profile");
	if (!value || !optparse_uint(value, &rate, &any))
		return route_error(x, 400, "the body is a number of bytes");
	fmt_printf(&x->out, "%lu\n", sources.set_profile_rate(rate));
	return ROUTE_DONE;
}

enum { GET = 1 << HTTP_GET, POST = 1 << HTTP_POST, PUT = 1 << HTTP_PUT };

const struct route routes[] = {
	{"/", GET, route_index, "this text"},
	{"/memstats", GET, route_memstats, "MemStats; ?format=text|json"},
	{"/debug/vars", GET, route_vars, "MemStats as Go's expvar JSON"},
	{"/metrics", GET, route_metrics, "for Prometheus"},
	{"/debug/pprof/", GET, route_pprof_index, "list of profiles"},
	{"/debug/pprof/heap", GET, route_heap,
		"heap profile; ?gc=1 ?debug=1 ?seconds=N"},
	{"/debug/pprof/allocs", GET, route_heap,
		"the same, showing all past allocations"},
	{"/debug/pprof/goroutine", GET, route_goroutine,
		"stacks of all threads; ?debug=1|2"},
	{"/debug/pprof/threadcreate", GET, route_threadcreate,
		"what created threads; ?debug=1"},
	{"/debug/pprof/cmdline", GET, route_cmdline, "command line"},
	{"/debug/pprof/trace", GET, route_trace,
		"execution trace; ?seconds=N ?format=go|perfetto"},
	{"/leaks", GET, route_leaks, "leaks; ?format=json|text|pprof"},
	{"/gc", POST, route_gc, "run a cycle; ?format=text|json"},
	{"/freeosmemory", POST, route_freeosmemory,
		"give idle memory back to the system"},
	{"/gogc", PUT, route_gogc, "set GOGC; answers the old value"},
	{"/memlimit", PUT, route_memlimit, "set GOMEMLIMIT; ditto"},
	{"/profilerate", PUT, route_profilerate,
		"set GOSTAT_PROFILE_RATE; ditto"},
	{0},
};

enum route_result route_error(struct exchange *x, int status,
	const char *format, ...)
{
	va_list ap;

	x->status = status;
	x->type = text_plain;
	x->answer.len = 0;
	grow_fmt(&x->answer, &x->out);
	va_start(ap, format);
	fmt_vprintf(&x->out, format, ap);
	va_end(ap);
	fmt_char(&x->out, '\n');
	return ROUTE_DONE;
}

static const struct route *find(const char *path)
{
	for (const struct route *r = routes; r->path; r++)
		if (!strcmp(r->path, path))
			return r;
	return NULL;
}

static enum route_result wrong_method(struct exchange *x, uint8_t methods)
{
	struct fmt f;

	fmt_init(&f, x->extra, sizeof(x->extra), -1);
	fmt_str(&f, "Allow: ");
	fmt_str(&f, methods & GET ? "GET, HEAD" : methods & PUT ? "PUT"
								: "POST");
	fmt_str(&f, "\r\n");
	fmt_cstr(&f);
	return route_error(x, 405, "%s answers to %s", x->req->path,
		methods & GET ? "GET" : methods & PUT ? "PUT" : "POST");
}

/* Paths that lack the slash at their end, as Go's mux does it. */
static enum route_result redirect(struct exchange *x)
{
	strcpy(x->extra, "Location: /debug/pprof/\r\n");
	return route_error(x, 301, "/debug/pprof/");
}

enum route_result routes_begin(struct exchange *x)
{
	enum http_method m = x->req->method;

	x->status = 200;
	x->type = text_plain;
	x->extra[0] = '\0';
	x->answer = (struct grow)GROW_INIT(EXCHANGE_ANSWER_MAX);
	x->step = 0;
	x->state = NULL;
	x->drop = NULL;
	grow_fmt(&x->answer, &x->out);
	if (!strcmp(x->req->path, "/debug/pprof"))
		return redirect(x);
	x->route = find(x->req->path);
	if (!x->route)
		return route_error(x, 404, "there is no %s", x->req->path);
	if (!(x->route->methods & 1 << (m == HTTP_HEAD ? HTTP_GET : m)))
		return wrong_method(x, x->route->methods);
	if (!x->route->fn)
		return route_error(x, 501, "%s is not in this version",
			x->req->path);
	return x->route->fn(x);
}

enum route_result routes_again(struct exchange *x)
{
	x->step++;
	return x->route->fn(x);
}

void routes_end(struct exchange *x)
{
	if (x->drop)
		x->drop(x);
	x->drop = NULL;
	grow_free(&x->answer);
}
