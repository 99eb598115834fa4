/* SPDX-License-Identifier: MIT */
/*
 * trace_perfetto: the same events as Trace Event JSON, which ui.perfetto.dev
 * and chrome://tracing read.
 *
 *	track "cycles"   GC from start to done
 *	track "stops"    the world stopped
 *	a thread each    blocked, sweeping, assisting; markers are threads too
 *	counter "Heap"   Allocated, and how much is left until the next cycle
 *
 * Everything is a pair of B and E (begin, end) on one track, where pairs nest,
 * so cycles and stops, which need not, have a track each. Times are in
 * microseconds, with three digits for the nanoseconds. The two counters are
 * stacked by viewers: so the second is what is left, and the top of both is
 * the goal.
 */
#include "base/json.h"
#include "observe/trace_write.h"
#include "os/syscall.h"

enum { FRAMES_MAX = 128, NAME_MAX = 256 };

/* Track numbers that no thread has. */
enum { TRACK_CYCLES = 0x7ffffffe, TRACK_STOPS = 0x7fffffff };

/* The start of an event's object; the caller prints more and the brace. */
static void open_event(struct trace_writer *w, char phase, int64_t ts, int tid)
{
	fmt_printf(w->out,
		"%s\n{\"ph\":\"%c\",\"pid\":%d,\"tid\":%d,\"ts\":%ld.%03ld",
		w->comma ? "," : "", phase, (int)sys0(SYS_getpid), tid,
		ts / 1000, ts % 1000);
	w->comma = true;
}

static void name(struct trace_writer *w, int tid, const char *s, size_t n,
	int order)
{
	open_event(w, 'M', 0, tid);
	fmt_str(w->out, ",\"name\":\"thread_name\",\"args\":{\"name\":");
	json_string(w->out, s, n);
	fmt_str(w->out, "}}");
	open_event(w, 'M', 0, tid);
	fmt_printf(w->out,
		",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%d}}",
		order);
}

static void stack(struct trace_writer *w, uint32_t recorded)
{
	uintptr_t pc[FRAMES_MAX];
	char buf[NAME_MAX];
	size_t n;

	if (!recorded || !w->names->frames)
		return;
	n = MIN(w->names->frames(recorded, pc, FRAMES_MAX), (size_t)FRAMES_MAX);
	fmt_str(w->out, ",\"args\":{\"stack\":[");
	for (size_t i = 0; i < n; i++) {
		struct fmt f;

		fmt_init(&f, buf, sizeof(buf), -1);
		if (w->names->place)
			w->names->place(&f, recorded, pc[i]);
		if (!f.len)
			fmt_printf(&f, "0x%lx", pc[i] - 1);
		fmt_str(w->out, i ? "," : "");
		json_string(w->out, buf, f.len);
	}
	fmt_str(w->out, "]}");
}

static void begin(struct trace_writer *w, int tid, const struct trace_event *e,
	const char *what)
{
	open_event(w, 'B', e->ts, tid);
	fmt_printf(w->out, ",\"name\":\"%s\"", what);
	stack(w, e->stack);
	fmt_char(w->out, '}');
}

static void end(struct trace_writer *w, int tid, const struct trace_event *e)
{
	open_event(w, 'E', e->ts, tid);
	if (e->type == TRACE_SWEEP_DONE)
		fmt_printf(w->out,
			",\"args\":{\"swept bytes\":%lu,"
			"\"reclaimed bytes\":%lu}",
			e->a, e->b);
	fmt_char(w->out, '}');
}

static void heap(struct trace_writer *w, const struct trace_event *e)
{
	open_event(w, 'C', e->ts, 0);
	fmt_printf(w->out,
		",\"name\":\"Heap\",\"args\":{\"Allocated\":%lu,"
		"\"NextGC\":%lu}}",
		w->heap_alloc,
		w->heap_goal - MIN(w->heap_goal, w->heap_alloc));
}

static void head(struct trace_writer *w)
{
	fmt_str(w->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	name(w, TRACK_CYCLES, "cycles", 6, -2);
	name(w, TRACK_STOPS, "stops", 5, -1);
}

static void thread(struct trace_writer *w, struct trace_thread *t,
	int64_t ts UNUSED)
{
	char buf[NAME_MAX];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	trace_write_name(w, t, &f);
	name(w, t->tid, buf, f.len, (int)t->p);
	if (t->marker) {
		struct trace_event e = {.ts = ts};

		begin(w, t->tid, &e, "MARK");
	}
}

static void event(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	static const char *const why[] = {
		[TRACE_BLOCK_LOCK] = "blocked: lock",
		[TRACE_BLOCK_COND] = "blocked: condition",
		[TRACE_BLOCK_NET] = "blocked: I/O",
	};

	switch (e->type) {
	case TRACE_THREAD_END:
		if (t->marker)
			end(w, t->tid, e);
		break;
	case TRACE_BLOCK:
		begin(w, t->tid, e, why[MIN(e->a, (uint64_t)TRACE_BLOCK_NET)]);
		break;
	case TRACE_SWEEP_START:
		begin(w, t->tid, e, "SWEEP");
		break;
	case TRACE_ASSIST_START:
		begin(w, t->tid, e, "MARK ASSIST");
		break;
	case TRACE_UNBLOCK:
	case TRACE_SWEEP_DONE:
	case TRACE_ASSIST_DONE:
		end(w, t->tid, e);
		break;
	case TRACE_GC_START:
		begin(w, TRACK_CYCLES, e, "GC");
		break;
	case TRACE_GC_DONE:
		end(w, TRACK_CYCLES, e);
		break;
	case TRACE_STW_START:
		begin(w, TRACK_STOPS, e,
			e->a == TRACE_STW_MARK_TERMINATION
				? "STW (mark termination)"
				: "STW (sweep termination)");
		break;
	case TRACE_STW_DONE:
		end(w, TRACK_STOPS, e);
		break;
	case TRACE_HEAP_ALLOC:
		w->heap_alloc = e->a;
		heap(w, e);
		break;
	case TRACE_HEAP_GOAL:
		w->heap_goal = e->a;
		heap(w, e);
		break;
	}
}

static void tail(struct trace_writer *w)
{
	fmt_str(w->out, "\n]}\n");
}

const struct trace_format trace_format_perfetto = {head, thread, event, tail};
