/* SPDX-License-Identifier: MIT */
/*
 * trace_write: from events as they were recorded to events that make sense.
 *
 *	ring ──▶ trace_write() ──▶ trace_format_go ──▶ go tool trace
 *	           │ threads,  └─▶ trace_format_perfetto ──▶ ui.perfetto.dev
 *	           │ order,
 *	           └ pairs
 *
 * Readers are strict: one end without its beginning, one time that goes back,
 * and the whole file is refused. But the ring drops events when its reader is
 * slow, a trace begins in the middle of a cycle, and two threads' clocks may
 * disagree by some nanoseconds. So the state of the process and of each thread
 * is kept here; an end that nobody began is left out, a beginning inside
 * another one ends that first.
 *
 * Invariants, for what a format gets to see:
 *   I1  times grow with every event;
 *   I2  GC and STW are entered and left in turn, and each thread is in at most
 *       one of blocked, sweeping and assisting;
 *   I3  every thread is introduced before it does something, and a tid that
 *       is used again is a new thread;
 *   I4  of the live threads, no two have the same p.
 *
 * Locks: none.
 */
#include "observe/trace_write.h"

#include <errno.h>

static struct trace_thread *threads(const struct trace_writer *w)
{
	return (struct trace_thread *)w->threads.p;
}

static size_t nthreads(const struct trace_writer *w)
{
	return w->threads.len / sizeof(struct trace_thread);
}

static void put(struct trace_writer *w, struct trace_thread *t,
	enum trace_type type, const struct trace_event *like)
{
	struct trace_event e = *like;

	e.type = (uint16_t)type;
	e.ts = w->last_ts = MAX(e.ts, w->last_ts + 1); /* I1 */
	w->format->event(w, t, &e);
}

static struct trace_thread *find(const struct trace_writer *w, int32_t tid)
{
	struct trace_thread *t = threads(w);

	for (size_t i = 0; i < nthreads(w); i++)
		if (t[i].live && t[i].tid == tid)
			return &t[i];
	return NULL;
}

/* A thread that has not been seen. NULL without memory. */
static struct trace_thread *introduce(struct trace_writer *w, int32_t tid,
	bool marker, int64_t ts)
{
	struct trace_thread *t = threads(w);
	size_t n = nthreads(w), i = 0;

	/* The place, and so the p, of one that has ended (I4). */
	while (i < n && t[i].live)
		i++;
	if (i == n && !grow_add(&w->threads, sizeof(*t))) {
		w->no_memory = true;
		return NULL;
	}
	t = threads(w) + i;
	*t = (struct trace_thread){.tid = tid,
		.live = true,
		.marker = marker,
		.p = (uint32_t)i,
		.g = ++w->ngoroutines,
		.seq = 1,
		.seen = w->census};
	w->nprocs = (uint32_t)nthreads(w);
	w->last_ts = MAX(ts, w->last_ts + 1);
	w->format->thread(w, t, w->last_ts);
	return t;
}

static struct trace_thread *thread(struct trace_writer *w,
	const struct trace_event *e)
{
	struct trace_thread *t = find(w, e->tid);

	return t ? t : introduce(w, e->tid, false, e->ts);
}

/* End what the thread is doing, if anything. */
static void finish_doing(struct trace_writer *w, struct trace_thread *t,
	int64_t ts)
{
	const struct trace_event end = {.ts = ts};

	if (t->doing)
		put(w, t, t->doing + 1, &end);
	t->doing = 0;
}

/* Begin something: a type whose end has the next number. */
static void begin(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	finish_doing(w, t, e->ts);
	put(w, t, e->type, e);
	t->doing = e->type;
}

static void end(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	if (t->doing + 1 == e->type)
		put(w, t, e->type, e);
	else
		finish_doing(w, t, e->ts);
	t->doing = 0;
}

static void end_thread(struct trace_writer *w, struct trace_thread *t,
	int64_t ts)
{
	const struct trace_event last = {.ts = ts};

	finish_doing(w, t, ts);
	put(w, t, TRACE_THREAD_END, &last);
	t->live = false;
}

/* A cycle or a stop, which belong to the process. */
static void process(struct trace_writer *w, struct trace_thread *t,
	bool *inside, enum trace_type start, const struct trace_event *e)
{
	const struct trace_event done = {.ts = e->ts};
	bool enter = e->type == start;

	if (enter && *inside)
		put(w, t, start + 1, &done);
	if (enter || *inside)
		put(w, t, e->type, e);
	*inside = enter;
}

static void start_thread(struct trace_writer *w, const struct trace_event *e,
	bool marker)
{
	struct trace_thread *t = find(w, (int32_t)e->a);

	if (t) /* I3: its end was lost */
		end_thread(w, t, e->ts);
	introduce(w, (int32_t)e->a, marker, e->ts);
}

static void thread_event(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	switch (e->type) {
	case TRACE_THREAD_END:
		end_thread(w, t, e->ts);
		break;
	case TRACE_BLOCK:
	case TRACE_SWEEP_START:
	case TRACE_ASSIST_START:
		begin(w, t, e);
		break;
	case TRACE_UNBLOCK:
	case TRACE_SWEEP_DONE:
	case TRACE_ASSIST_DONE:
		end(w, t, e);
		break;
	case TRACE_GC_START:
	case TRACE_GC_DONE:
		process(w, t, &w->in_gc, TRACE_GC_START, e);
		break;
	case TRACE_STW_START:
	case TRACE_STW_DONE:
		process(w, t, &w->in_stw, TRACE_STW_START, e);
		break;
	case TRACE_HEAP_ALLOC:
	case TRACE_HEAP_GOAL:
		put(w, t, e->type, e);
		break;
	}
}

void trace_write_name(const struct trace_writer *w,
	const struct trace_thread *t, struct fmt *f)
{
	if (t->marker)
		fmt_str(f, "collector");
	else if (w->names->thread)
		w->names->thread(f, t->tid);
	if (!f->len)
		fmt_str(f, "thread");
}

void trace_write(struct trace_writer *w, const struct trace_event *e)
{
	struct trace_thread *t;

	switch (e->type) {
	case TRACE_THREAD_START:
		start_thread(w, e, false);
		break;
	case TRACE_MARK_START:
		start_thread(w, e, true);
		break;
	case TRACE_MARK_DONE:
		t = find(w, (int32_t)e->a);
		if (t && t->marker)
			end_thread(w, t, e->ts);
		break;
	default:
		t = thread(w, e);
		if (t)
			thread_event(w, t, e);
	}
}

void trace_write_seen(struct trace_writer *w, int32_t tid, int64_t ts)
{
	struct trace_thread *t = find(w, tid);

	if (!t)
		t = introduce(w, tid, false, ts);
	if (t)
		t->seen = w->census;
}

void trace_write_census(struct trace_writer *w, int64_t ts)
{
	struct trace_thread *t = threads(w);

	for (size_t i = 0; i < nthreads(w); i++)
		if (t[i].live && !t[i].marker && t[i].seen != w->census)
			end_thread(w, &t[i], ts);
	w->census++;
}

bool trace_write_knows(const struct trace_writer *w, int32_t tid)
{
	return find(w, tid) != NULL;
}

void trace_write_begin(struct trace_writer *w, struct fmt *out,
	const struct trace_format *format, const struct trace_names *names)
{
	*w = (struct trace_writer){.out = out,
		.format = format,
		.names = names,
		.threads = GROW_INIT(64 * MIB),
		.strings = INTERN_INIT,
		.stacks = INTERN_INIT,
		.batch_p = UINT32_MAX};
	format->head(w);
}

static void finish_all(struct trace_writer *w)
{
	struct trace_thread *t = threads(w);
	struct trace_event done = {.type = TRACE_STW_DONE};

	/* While there still is a thread to say so. */
	for (size_t i = 0; i < nthreads(w) && (w->in_gc || w->in_stw); i++) {
		if (!t[i].live)
			continue;
		process(w, &t[i], &w->in_stw, TRACE_STW_START, &done);
		done.type = TRACE_GC_DONE;
		process(w, &t[i], &w->in_gc, TRACE_GC_START, &done);
	}
	for (size_t i = 0; i < nthreads(w); i++)
		if (t[i].live)
			end_thread(w, &t[i], w->last_ts);
}

int trace_write_end(struct trace_writer *w)
{
	if (w->out) {
		finish_all(w);
		w->format->tail(w);
	}
	grow_free(&w->threads);
	intern_free(&w->strings);
	intern_free(&w->stacks);
	return w->no_memory ? ENOMEM : 0;
}
