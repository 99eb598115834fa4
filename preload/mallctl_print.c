/* SPDX-License-Identifier: MIT */
/*
 * mallctl_print: jemalloc's malloc_stats_print, of our heap.
 *
 * The frame and the first lines are jemalloc's, since scripts look for them;
 * then one line for each size in use. The JSON form has the part that can be
 * said of a heap with one arena.
 */
#include "preload/mallctl.h"
#include "alloc/stats.h"
#include "base/fmt.h"
#include "base/syscall.h"

#include <string.h>
#include <unistd.h>

struct out {
	struct fmt f;
	char buf[1024];
	void (*write)(void *arg, const char *text);
	void *arg;
};

/* The buffer is full: hand it on. One byte is kept for the NUL. */
static bool drain(struct fmt *f)
{
	struct out *o = f->full_arg;

	o->buf[f->len] = '\0';
	o->write(o->arg, o->buf);
	f->len = 0;
	return true;
}

static void to_stderr(void *arg UNUSED, const char *text)
{
	sys3(SYS_write, STDERR_FILENO, text, strlen(text));
}

static size_t figure(const char *name)
{
	size_t v = 0, len = sizeof(v);

	mallctl(name, &v, &len, NULL, 0);
	return v;
}

static const char *const figures[] = {
	"allocated", "active", "metadata", "resident", "mapped", "retained"};

static size_t named(const char *what)
{
	char name[32] = "stats.";

	strcat(name, what);
	return figure(name);
}

static void json(struct fmt *f)
{
	fmt_str(f, "{\n\t\"jemalloc\": {\n\t\t\"version\": "
		   "\"gostat " GOSTAT_VERSION "\",\n\t\t\"stats\": {\n");
	for (unsigned i = 0; i < NELEM(figures); i++)
		fmt_printf(f, "\t\t\t\"%s\": %zu%s\n", figures[i],
			named(figures[i]), i + 1 < NELEM(figures) ? "," : "");
	fmt_str(f, "\t\t}\n\t}\n}\n");
}

static void classes(struct fmt *f)
{
	struct heapstats h;

	heapstats_read(&h);
	fmt_printf(f, "%12s %14s %14s %14s %12s\n", "size", "allocated",
		"nmalloc", "ndalloc", "cached");
	for (unsigned r = 1; r < NREC; r++) {
		size_t mallocs = h.of[r].mallocs, frees = h.of[r].frees;

		if (mallocs)
			fmt_printf(f, "%12zu %14zu %14zu %14zu %12zu\n",
				rec_bytes(r), (mallocs - frees) * rec_bytes(r),
				mallocs, frees, (size_t)h.of[r].cached);
	}
	if (h.of[0].mallocs)
		fmt_printf(f, "%12s %14s %14zu %14zu %12d\n", "larger", "-",
			(size_t)h.of[0].mallocs, (size_t)h.of[0].frees, 0);
}

static void text(struct fmt *f)
{
	fmt_str(f, "___ Begin jemalloc statistics ___\n"
		   "Version: \"gostat " GOSTAT_VERSION "\"\n");
	fmt_printf(f,
		"Allocated: %zu, active: %zu, metadata: %zu (n_thp 0), "
		"resident: %zu, mapped: %zu, retained: %zu\n",
		named("allocated"), named("active"), named("metadata"),
		named("resident"), named("mapped"), named("retained"));
	classes(f);
	fmt_str(f, "--- End jemalloc statistics ---\n");
}

API void malloc_stats_print(
	void (*write)(void *arg, const char *text), void *arg, const char *opts)
{
	struct out o = {.write = write ? write : to_stderr, .arg = arg};

	fmt_init(&o.f, o.buf, sizeof(o.buf) - 1, -1);
	o.f.full = drain;
	o.f.full_arg = &o;
	if (opts && strchr(opts, 'J'))
		json(&o.f);
	else
		text(&o.f);
	drain(&o.f);
}
