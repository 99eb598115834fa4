/* SPDX-License-Identifier: MIT */
/*
 * gcjob: from a frozen process to a list of what nobody can reach.
 *
 *	roots_collect --> letgo --> heapview_init --> marker_roots
 *	                  (copy)                       |
 *	      finalizers' objects, ignored objects are added
 *	                                       |
 *	                  leak_classify (if asked) --> leaklist_write
 *
 * In the copy nobody has to be spared and nothing has to be given back; in
 * place everything is, since the world may go on.
 *
 * A page of the heap that the program has protected against reading is opened
 * for reading when the marker runs into it, and closed again afterwards
 * (guard.c).
 */
#include "gc/gcjob.h"
#include "alloc/mheap.h"
#include "gc/finalizer.h"
#include "gc/guard.h"
#include "gc/jobstack.h"
#include "gc/leakscope.h"
#include "gc/letgo.h"
#include "gc/suppress.h"
#include "os/sysmem.h"
#include "profile/symbols.h"

#include <string.h>

static size_t list_offset(void)
{
	return ALIGN_UP(sizeof(struct gcjob_result), (size_t)OS_PAGE);
}

bool gcjob_alloc(struct gcjob *j)
{
	/* The heap may grow until the stop: by a quarter and a bit. */
	size_t list = leaklist_bound() * 5 / 4 + 4 * MIB;

	if (!j->classes && !j->garbage)
		list = 0;
	j->result_bytes = list_offset() + ALIGN_UP(list, (size_t)OS_PAGE);
	j->result = sysmem_map_shared(j->result_bytes, SYS_GC);
	return j->result != NULL;
}

void gcjob_free(struct gcjob *j)
{
	if (j->result)
		sysmem_unmap(j->result, j->result_bytes, SYS_GC);
	j->result = NULL;
}

void gcjob_trim(struct gcjob *j)
{
	size_t used = list_offset() +
		ALIGN_UP(j->result->list.len, (size_t)OS_PAGE);

	if (used >= j->result_bytes)
		return;
	sysmem_unmap((char *)j->result + used, j->result_bytes - used, SYS_GC);
	j->result_bytes = used;
}

static void mark_mappings(struct marker *m)
{
	const struct heapview *v = m->v;

	for (size_t i = 0; i < v->nmaps; i++)
		marker_add(m, heapview_map_slot(v, i));
	marker_drain(m);
}

static void add_ignored(struct marker *m)
{
	size_t n = leak_ignored_count();
	size_t bytes = ALIGN_UP((n + 1) * sizeof(uintptr_t), (size_t)OS_PAGE);
	uintptr_t *p = sysmem_map(NULL, bytes, SYS_GC);

	if (!p)
		return;
	leak_ignore(m, p, leak_ignored(p, n));
	sysmem_unmap(p, bytes, SYS_GC);
}

static bool suppressed(void *memo, uint32_t stack)
{
	return suppress_asked(memo, stack);
}

/* What was not reached, into the result. NULL or an error. */
static const char *list_rest(struct gcjob *j, struct marker *m)
{
	struct gcjob_result *r = j->result;
	struct leak_sets sets = {0};
	struct suppress_memo memo = {0};
	uint64_t objects, bytes;

	heapview_unmarked(m->v, &objects, &bytes);
	r->live_objects = r->objects - objects;
	r->live_bytes = r->bytes - bytes;
	r->list.p = (char *)r + list_offset();
	r->list.cap = j->result_bytes - list_offset();
	if (objects == 0)
		return NULL;
	if (j->classes) {
		bool ok = leak_classify(m, &sets, suppressed, &memo);

		suppress_forget(&memo);
		if (!ok)
			return "no memory to sort leaks";
	}
	if (j->classes || j->garbage)
		leaklist_write(&r->list, m->v, j->classes ? &sets : NULL);
	leak_sets_free(&sets);
	return NULL;
}

static void count_roots(struct gcjob *j)
{
	const struct root_range *range = rootset_ranges(j->roots);
	struct gcjob_result *r = j->result;

	for (size_t i = 0; i < j->roots->ranges.n; i++) {
		uint64_t bytes = range[i].hi - range[i].lo;

		if (range[i].kind == ROOT_STACK)
			r->stack_bytes += bytes;
		else if (range[i].kind == ROOT_GLOBALS)
			r->global_bytes += bytes;
	}
	r->unstopped = j->roots->unstopped;
	r->noregs = j->roots->noregs;
	r->shared_unfrozen = j->roots->shared_unfrozen;
	r->rings = j->roots->rings;
}

static const char *mark(struct gcjob *j, struct heapview *v)
{
	struct gcjob_result *r = j->result;
	struct marker m;
	const char *error;

	r->objects = v->objects;
	r->bytes = v->bytes;
	if (!marker_init(&m, v, &j->mark))
		return "no memory to mark";
	if (j->ahead)
		ahead_carry(j->ahead, &m);
	marker_roots(&m, j->root_kinds);
	if (j->mappings_live)
		mark_mappings(&m);
	if (j->finalizers)
		r->nfinalizers =
			finalizer_mark(&m, r->finalizer, GCJOB_FINALIZERS);
	add_ignored(&m);
	error = list_rest(j, &m);
	marker_free(&m);
	return error;
}

static int run(void *arg)
{
	struct gcjob *j = arg;
	struct letgo gone = {0};
	struct heapview v;

	if (j->copy)
		symbols_postfork(true); /* somebody may have been looking */
	guard_begin(j->copy);
	if (!roots_collect(j->roots, j->stw)) {
		j->result->error = j->roots->error;
	} else {
		count_roots(j);
		if (j->copy) {
			letgo(&gone, j->roots, &j->mark);
			j->mark.gone = &gone;
		}
		if (heapview_init(&v, j->roots)) {
			j->result->error = mark(j, &v);
			heapview_free(&v);
		} else {
			j->result->error = "no memory for mark bits";
		}
	}
	letgo_free(&gone);
	guard_end();
	return 0;
}

int gcjob_run(void *arg)
{
	struct gcjob *j = arg;

	/* Before anything is mapped where they belong. */
	if (j->copy && !carry_unpack(j->carry)) {
		j->result->error = "no memory for the stacks of threads";
		return 0;
	}
	return jobstack_call(run, arg);
}
