/* SPDX-License-Identifier: MIT */
/*
 * goroutine: every thread's stack at one moment.
 *
 *	/proc ── names, states ─┐
 *	stackcopy_take() ───────┼── unwind_copied() ──▶ struct goroutine[]
 *	threadinfo_origin() ────┘
 *
 * States are read before the stop: a thread at rest only waits for us. So one
 * that is "running" here may stand in poll() by the time that its stack is
 * copied; both were true.
 *
 * Frames are kept in this answer's own memory, not in the table of stacks,
 * which nobody shrinks: a process that is asked every ten seconds for a year
 * would fill it with stacks that were never seen again.
 *
 * Invariants:
 *   I1  frames[first .. first + depth) of each entry are its own;
 *   I2  entries are in the order of their tids, the caller before all others.
 *
 * Locks: none but those of what is called.
 */
#include "observe/goroutine.h"
#include "gc/stackcopy.h"
#include "observe/helper.h"
#include "observe/threadstate.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "os/tasks.h"
#include "profile/modules.h"
#include "profile/threadinfo.h"

#include <string.h>

enum { TRIES = 5 };

/* Fork must not see a descriptor of ours that is open for a moment. */
static void read_state(struct threadstate *s, int tid)
{
	helper_fds_lock();
	threadstate_read(s, tid);
	helper_fds_unlock();
}

static bool read_states(struct grow *states)
{
	struct threadstate *s = NULL;
	struct tasks t;
	size_t n;
	int tid;

	if (!grow_room(states, (tasks_count() + 64) * sizeof(*s)))
		return false;
	helper_fds_lock();
	tasks_open(&t);
	while ((tid = tasks_next(&t)) && (s = grow_add(states, sizeof(*s))))
		s->tid = tid;
	tasks_close(&t);
	helper_fds_unlock();
	s = (struct threadstate *)states->p;
	n = states->len / sizeof(*s);
	for (size_t i = 0; i < n; i++)
		read_state(&s[i], s[i].tid);
	return true;
}

/* The state that was read for tid; of a thread that is new, now. */
static void find_state(struct goroutine *e, const struct grow *states)
{
	const struct threadstate *s = (const void *)states->p;
	size_t n = states->len / sizeof(*s);
	struct threadstate now;

	while (n && s->tid != e->tid)
		s++, n--;
	if (!n) {
		read_state(&now, e->tid);
		s = &now;
	}
	memcpy(e->name, s->name, sizeof(e->name));
	e->state = s->state;
}

/* An entry with these frames, behind the others; NULL without memory. */
static struct goroutine *add(struct goroutines *g, int tid,
	const uintptr_t *pc, size_t depth)
{
	uint32_t first = (uint32_t)(g->frames.len / sizeof(*pc));
	uintptr_t *to = grow_add(&g->frames, MAX(depth, 1) * sizeof(*pc));
	struct goroutine *e = to ? grow_add(&g->mem, sizeof(*e)) : NULL;

	if (!e)
		return NULL;
	memcpy(to, pc, depth * sizeof(*pc));
	*e = (struct goroutine){
		.tid = tid, .first = first, .depth = (uint32_t)depth};
	g->n++;
	return e;
}

static bool add_copy(struct goroutines *g, const struct stackcopy *k,
	const struct grow *states)
{
	uintptr_t pc[PPROF_DEPTH_MAX];
	bool whole;
	size_t n = unwind_copied(&k->at, pc, NELEM(pc), &whole);
	struct goroutine *e = add(g, k->tid, pc, n);

	if (!e)
		return false;
	e->whole = whole;
	find_state(e, states);
	if (!threadinfo_origin(k->tcb, &e->created, &e->creator))
		e->created = 0;
	return true;
}

static bool add_self(struct goroutines *g)
{
	uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
	uintptr_t pc[PPROF_DEPTH_MAX];
	size_t n = unwind_here(pc, NELEM(pc));
	int tid = (int)sys0(SYS_gettid);
	struct goroutine *e = add(g, tid, pc, n);
	struct threadstate s;

	if (!e)
		return false;
	read_state(&s, tid);
	memcpy(e->name, s.name, sizeof(e->name));
	e->state = "running";
	e->whole = n < NELEM(pc);
	if (!threadinfo_origin(thread, &e->created, &e->creator))
		e->created = 0;
	return true;
}

/*
 * By tid, which is how they come but for those that were new. The caller, if
 * it is there, stays in front.
 */
static void sort(struct goroutine *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct goroutine e = v[i];
		size_t k = i;

		for (; k && v[k - 1].tid > e.tid; k--)
			v[k] = v[k - 1];
		v[k] = e;
	}
}

enum stw_result goroutines_take(struct goroutines *g, bool self)
{
	struct grow states = GROW_INIT(64 * MIB);
	struct stackcopies copies = {0};
	enum stw_result r = STW_NO_MEMORY;
	bool ok;

	modules_refresh();
	ok = read_states(&states) && (!self || add_self(g));
	if (ok)
		r = stackcopy_take(&copies);
	g->time_ns = clock_unix_ns();
	for (unsigned i = 0; ok && r == STW_OK && i < copies.n; i++)
		ok = add_copy(g, &copies.v[i], &states);
	g->pause_ns = copies.pause_ns;
	g->generation = modules_generation();
	stackcopy_free(&copies);
	grow_free(&states);
	if (r == STW_OK)
		sort((struct goroutine *)g->mem.p + self, g->n - self);
	return ok ? r : STW_NO_MEMORY;
}

void goroutines_free(struct goroutines *g)
{
	grow_free(&g->mem);
	grow_free(&g->frames);
	g->n = 0;
}

void goroutines_print(struct fmt *out, bool all)
{
	struct goroutines g = GOROUTINES_INIT;
	enum stw_result r = STW_LATE;

	for (int i = 0; all && r == STW_LATE && i < TRIES; i++) {
		r = goroutines_take(&g, true);
		if (r == STW_OK)
			goroutines_text(out, &g);
		goroutines_free(&g);
	}
	if (r != STW_OK)
		goroutines_self(out);
}
