/* SPDX-License-Identifier: MIT */
/*
 * heapprofile: from the tables of profile/ to the formats of pprof.
 *
 *	bucket.c    (stack, size) -> four counters  ──▶ struct pprof_bucket
 *	stacktab.c  stack -> addresses, generation  ──▶ pprof_options.frames
 *	modules.c   address, generation -> file     ──▶ struct pprof_mapping
 *
 * A bucket's counters are read while they change. What was freed is read
 * before what was allocated, so that nothing seems to be freed that was not
 * allocated.
 *
 * Functions are named from the files' symbol tables: go tool pprof finds no names
 * of its own in files without debug information, and may run where the files
 * are not. Where the tables don't know all of a module's frames readers look for
 * themselves; `gostat heap` adds files, lines and what was inlined. A dump on the
 * brink of memory goes without: sorting symbols takes some.
 *
 * Locks: none.
 */
#include "observe/heapprofile.h"
#include "alloc/tick.h"
#include "base/atomics.h"
#include "profile/bucket.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/symbols.h"

#include <errno.h>
#include <sys/auxv.h>

static bool next(void *cursor, struct pprof_bucket *out)
{
	size_t *i = cursor;
	const struct bucket *b = NULL;
	uint64_t frees, free_bytes;

	while (!b && *i < bucket_count())
		b = bucket_at((*i)++);
	if (!b)
		return false;
	frees = load_relaxed(&b->frees);
	free_bytes = load_relaxed(&b->free_bytes);
	signal_fence(); /* keeps the compiler from turning the two around */
	*out = (struct pprof_bucket){.id = *i,
		.stack = b->stack,
		.size = b->size,
		.allocs = (int64_t)load_relaxed(&b->allocs),
		.alloc_bytes = (int64_t)load_relaxed(&b->alloc_bytes)};
	out->inuse = out->allocs - (int64_t)frees;
	out->inuse_bytes = out->alloc_bytes - (int64_t)free_bytes;
	/* Caught between two counters: readers refuse bytes without objects. */
	if (!out->inuse || !out->inuse_bytes)
		out->inuse = out->inuse_bytes = 0;
	return true;
}

int heapprofile_take(struct pprof_snapshot *s)
{
	size_t cursor = 0;

	return pprof_take(s, next, &cursor);
}

static bool add_module(struct grow *g, const struct module *m)
{
	for (unsigned t = 0; t < m->ntext; t++) {
		struct pprof_mapping *p = grow_add(g, sizeof(*p));

		if (!p)
			return false;
		*p = (struct pprof_mapping){.start = m->text[t].lo,
			.limit = m->text[t].hi,
			.offset = m->text[t].offset,
			.file = m->path,
			.build_id = m->build_id,
			.build_id_len = m->build_id_len,
			.born = m->born,
			.died = load_relaxed(&m->died)};
	}
	return true;
}

const struct module *heapprofile_program(void)
{
	return modules_find(getauxval(AT_ENTRY), modules_generation());
}

bool heapprofile_mappings(struct grow *g)
{
	const struct module *program = heapprofile_program();
	bool ok = !program || add_module(g, program);

	for (size_t i = 0; ok && i < modules_count(); i++)
		if (modules_at(i) != program)
			ok = add_module(g, modules_at(i));
	return ok;
}

size_t heapprofile_names(void *arg UNUSED, uintptr_t address,
	uint32_t generation, struct pprof_line *line, size_t max)
{
	const struct module *m = modules_find(address, generation);
	uintptr_t into;

	if (!m || !max)
		return 0;
	*line = (struct pprof_line){
		.function = symbols_find(m, address, &into), .file = m->path};
	return line->function != NULL;
}

uint64_t heapprofile_rate(void)
{
	return tick_sample_rate();
}

int heapprofile_write(struct fmt *out, bool named)
{
	struct pprof_snapshot s = PPROF_SNAPSHOT_INIT;
	struct grow maps = GROW_INIT(16 * MIB);
	struct pprof_options o = {.rate = heapprofile_rate(),
		.frames = stacktab_frames,
		.generation = stacktab_generation,
		.names = named ? heapprofile_names : NULL};
	int error = heapprofile_take(&s);

	if (!error && !heapprofile_mappings(&maps))
		error = ENOMEM;
	if (!error) {
		o.mappings = (const void *)maps.p;
		o.nmappings = maps.len / sizeof(struct pprof_mapping);
		pprof_scale(&s, o.rate);
		error = pprof_write_gz(out, &s, &o);
	}
	pprof_free(&s);
	grow_free(&maps);
	return error;
}
