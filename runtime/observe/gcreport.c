/* SPDX-License-Identifier: MIT */
/*
 * gcreport: leaks on their way out.
 *
 *	gc_leaks() ──▶ leakreport_text, leakreport_json ──▶ route, dump
 *	          └──▶ buckets ──▶ pprof
 *
 * The results' lock is held while a report is made, not while it is written: a
 * reader of a pipe may take its time, and a cycle that ends then has to wait.
 */
#include "observe/gcreport.h"
#include "gc/gc.h"
#include "gc/lsan.h"
#include "observe/dumpfile.h"
#include "observe/emit.h"
#include "observe/heapprofile.h"
#include "observe/helper.h"
#include "observe/memstats.h"
#include "os/clock.h"

#include <errno.h>

#define REPORT_MAX ((size_t)256 << 20)

static void memstats(struct fmt *f)
{
	static struct gostat_memstats m; /* under the results' lock */

	helper_fds_lock();
	memstats_read(&m);
	helper_fds_unlock();
	emit_json(f, &m);
}

static const char *program(void)
{
	const struct module *m = heapprofile_program();

	return m ? m->path : dumpfile_program();
}

bool gcreport_have(void)
{
	bool have = gc_leaks() != NULL;

	gc_leaks_done();
	return have;
}

/* Silence could also mean that nothing was looked at. */
static void text(struct fmt *f, const struct leaks *l,
	const struct leakreport_options *o)
{
	leakreport_text(f, l, o);
	if (!l->unchecked && !l->objects[LEAK_DIRECT] &&
		!l->objects[LEAK_INDIRECT])
		fmt_printf(f, "==%d== gostat: no leaks in %s\n",
			dumpfile_pid(), dumpfile_program());
}

void gcreport_write(struct fmt *f, const char *unchecked, bool json)
{
	const struct leakreport_options o = {.tool = "gostat",
		.pid = dumpfile_pid(),
		.exe = program(),
		.max_leaks = lsan.max_leaks,
		.report_objects = lsan.report_objects,
		.print_suppressions = lsan.print_suppressions,
		.heap = memstats};
	const struct leaks none = {
		.unchecked = unchecked ? unchecked : "there was no cycle yet"};
	const struct leaks *l = gc_leaks();

	if (unchecked || !l)
		l = &none;
	if (json)
		leakreport_json(f, l, &o);
	else
		text(f, l, &o);
	gc_leaks_done();
}

void gcreport_dump(const char *unchecked, uint64_t number, const char *suffix)
{
	static struct dumpfile file; /* one dump at a time: helper, or the end */
	struct grow report = GROW_INIT(REPORT_MAX);
	bool json = options->format == FORMAT_JSON, to_file = options->dump;
	char buf[1024];
	struct fmt f;

	grow_fmt(&report, &f);
	gcreport_write(&f, unchecked, json);
	grow_fmt_end(&report, &f);
	/* A fork must not copy the descriptor; a terminal may be stopped. */
	if (to_file)
		helper_fds_lock();
	if (dumpfile_open(&file, "leak report", options->dump, suffix, number,
		    buf, sizeof(buf))) {
		fmt_mem(&file.f, report.p, report.len);
		dumpfile_commit(&file);
	}
	if (to_file)
		helper_fds_unlock();
	grow_free(&report);
}

static bool add_bucket(struct pprof_snapshot *s, const struct leak_group *g)
{
	struct pprof_bucket *b = grow_add(&s->mem, sizeof(*b));

	if (!b)
		return false;
	*b = (struct pprof_bucket){.id = s->n++,
		.stack = g->stack,
		.size = g->bytes / g->objects,
		.allocs = (int64_t)g->objects,
		.alloc_bytes = (int64_t)g->bytes,
		.inuse = (int64_t)g->objects,
		.inuse_bytes = (int64_t)g->bytes};
	return true;
}

int gcreport_take(struct pprof_snapshot *s)
{
	const struct leaks *l = gc_leaks();
	bool ok = true;

	s->time_ns = clock_unix_ns();
	for (size_t i = 0; l && ok && i < l->n; i++)
		if (l->group[i].kind != LEAK_SUPPRESSED)
			ok = add_bucket(s, &l->group[i]);
	gc_leaks_done();
	return ok ? 0 : ENOMEM;
}
