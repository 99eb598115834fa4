/* SPDX-License-Identifier: MIT */
/*
 * goroutine_pprof: threads, and what created them, as profile.proto.
 *
 * Go's sample types: goroutine/count and threadcreate/count, period 1. Each
 * thread is a sample with its name, state and number as labels (pprof -tags,
 * -tagfocus=thread=worker), and readers add up equal stacks.
 *
 * Functions are named as in the heap profile.
 */
#include "observe/goroutine.h"
#include "observe/heapprofile.h"
#include "observe/threadstate.h"
#include "os/clock.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/threadinfo.h"

#include <string.h>

static int write(struct fmt *out, struct pprof_snapshot *s,
	const struct pprof_options *maps, struct pprof_count *count)
{
	struct pprof_options o = *maps;

	o.names = heapprofile_names;
	o.count = count;
	o.frames = stacktab_frames;
	o.generation = stacktab_generation;
	return pprof_write_gz(out, s, &o);
}

static size_t thread_frames(const void *arg, uint32_t stack, uintptr_t *pc,
	size_t max)
{
	const struct goroutines *g = arg;
	const struct goroutine *e = goroutines_at(g, stack);

	memcpy(pc, (const uintptr_t *)g->frames.p + e->first,
		MIN(e->depth, max) * sizeof(*pc));
	return e->depth;
}

static size_t thread_labels(const void *arg, const struct pprof_bucket *b,
	struct pprof_label *label)
{
	const struct goroutine *e = goroutines_at(arg, b->stack);

	label[0] = (struct pprof_label){.key = "thread", .text = e->name};
	label[1] = (struct pprof_label){.key = "state", .text = e->state};
	label[2] = (struct pprof_label){
		.key = "tid", .number = (uint64_t)e->tid};
	return 3;
}

struct cursor {
	const struct goroutines *g; /* NULL: sites */
	size_t at;
};

static bool next_thread(void *arg, struct pprof_bucket *b)
{
	struct cursor *c = arg;

	if (c->at == c->g->n)
		return false;
	*b = (struct pprof_bucket){.stack = (uint32_t)c->at++, .allocs = 1};
	return true;
}

int goroutines_pprof(struct fmt *out, const struct goroutines *g,
	const struct pprof_options *maps)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	struct pprof_count count = {.type = "goroutine",
		.arg = g,
		.frames = thread_frames,
		.labels = thread_labels,
		.generation = g->generation};
	struct cursor c = {.g = g};
	int error = pprof_take(&s, next_thread, &c);

	s.time_ns = g->time_ns;
	if (!error)
		error = write(out, &s, maps, &count);
	pprof_free(&s);
	return error;
}

static bool next_site(void *arg, struct pprof_bucket *b)
{
	struct threadinfo_site site;
	struct cursor *c = arg;

	if (!threadinfo_next(&c->at, &site))
		return false;
	*b = (struct pprof_bucket){
		.stack = site.stack, .allocs = (int64_t)site.count};
	return true;
}

int threadcreate_pprof(struct fmt *out, const struct pprof_options *maps)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	struct pprof_count count = {.type = "threadcreate",
		.generation = modules_generation()};
	struct cursor c = {0};
	int error = pprof_take(&s, next_site, &c);

	if (!error)
		error = write(out, &s, maps, &count);
	pprof_free(&s);
	return error;
}
