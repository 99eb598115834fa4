/* SPDX-License-Identifier: MIT */
/*
 * trace_go: the execution trace of Go 1.19, which the tools of all releases
 * since 1.11 read.
 *
 *	"go 1.19 trace\0\0\0"
 *	Batch P tick, event, event, ...	   each time another P has its turn
 *	String id text, Stack id frames	   before their first use
 *	Frequency			   ticks a second, at the end
 *
 * An event is a byte (type, and the number of arguments less one in the upper
 * two bits) and varints; the first is the time since the event before in the
 * batch. With four arguments or more the number is 3 and their length in
 * bytes comes first.
 *
 * Every thread is a processor that runs one goroutine, from its introduction
 * on:	ProcStart tid, GoCreate g, GoStart g, ... GoEnd, ProcStop
 * While it is blocked, the processor stands empty:
 *	GoBlock, ProcStop ... ProcStart, GoUnblock, GoStart
 * Each state change of a goroutine carries its number in a row (seq), by which
 * readers put the batches in order; cycles have numbers too. The goroutine's
 * start function, by which viewers name and group goroutines, is the name of
 * the thread.
 *
 * Rejected: the format of 1.22 and later. The trace tool of Debian's Go reads
 * 1.19, the newest tools still convert it, and it needs no list of states at
 * the start of each generation.
 */
#include "observe/protowire.h"
#include "observe/trace_write.h"

#include <string.h>

enum ev {
	EV_BATCH = 1,
	EV_FREQUENCY = 2,
	EV_STACK = 3,
	EV_GOMAXPROCS = 4,
	EV_PROC_START = 5,
	EV_PROC_STOP = 6,
	EV_GC_START = 7,
	EV_GC_DONE = 8,
	EV_STW_START = 9,
	EV_STW_DONE = 10,
	EV_SWEEP_START = 11,
	EV_SWEEP_DONE = 12,
	EV_GO_CREATE = 13,
	EV_GO_START = 14,
	EV_GO_END = 15,
	EV_GO_UNBLOCK = 21,
	EV_GO_BLOCK_SYNC = 25,
	EV_GO_BLOCK_COND = 26,
	EV_GO_BLOCK_NET = 27,
	EV_HEAP_ALLOC = 33,
	EV_HEAP_GOAL = 34,
	EV_STRING = 37,
	EV_GO_START_LABEL = 41,
	EV_ASSIST_START = 43,
	EV_ASSIST_DONE = 44,
};

enum { FRAMES_MAX = 128, NAME_MAX = 256 };

/* An event without time, with n arguments. */
static void put(struct fmt *f, enum ev type, const uint64_t *arg, size_t n)
{
	size_t len = 0;

	fmt_char(f, (char)(type | MIN(n - 1, (size_t)3) << 6));
	for (size_t i = 0; n > 3 && i < n; i++)
		len += wire_varint_len(arg[i]);
	if (n > 3)
		wire_varint(f, len);
	for (size_t i = 0; i < n; i++)
		wire_varint(f, arg[i]);
}

/* An event of p at ts, in a batch of its own if p has not been the last. */
static void put_at(struct trace_writer *w, uint32_t p, int64_t ts, enum ev type,
	const uint64_t *arg, size_t n)
{
	uint64_t all[4] = {0};

	if (p != w->batch_p) {
		put(w->out, EV_BATCH, (uint64_t[]){p, (uint64_t)ts}, 2);
		w->batch_p = p;
		w->batch_ts = ts;
	}
	all[0] = (uint64_t)(ts - w->batch_ts);
	w->batch_ts = ts;
	for (size_t i = 0; i < n; i++)
		all[i + 1] = arg[i];
	put(w->out, type, all, n + 1);
}

#define PUT(w, t, ts, type, ...)                                               \
	put_at((w), (t)->p, (ts), (type), (uint64_t[]){__VA_ARGS__},           \
		sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define PUT0(w, t, ts, type) put_at((w), (t)->p, (ts), (type), NULL, 0)

static uint64_t string(struct trace_writer *w, const char *s, size_t n)
{
	uint32_t known = w->strings.n, id = intern_id(&w->strings, s, n);

	w->no_memory |= !id;
	if (id > known) {
		fmt_char(w->out, EV_STRING);
		wire_varint(w->out, id);
		wire_varint(w->out, n);
		fmt_mem(w->out, s, n);
	}
	return id;
}

/* The number of a stack given by its recorded id, written at first use. */
static uint64_t stack(struct trace_writer *w, uint32_t recorded)
{
	uint64_t arg[2 + 4 * FRAMES_MAX], key = recorded;
	uintptr_t pc[FRAMES_MAX];
	uint32_t known = w->stacks.n, id;
	char name[NAME_MAX];
	size_t n;

	if (!recorded || !w->names->frames)
		return 0;
	id = intern_id(&w->stacks, &key, sizeof(key));
	w->no_memory |= !id;
	if (id <= known)
		return id;
	n = MIN(w->names->frames(recorded, pc, FRAMES_MAX), (size_t)FRAMES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct fmt f;

		fmt_init(&f, name, sizeof(name), -1);
		if (w->names->place)
			w->names->place(&f, recorded, pc[i]);
		if (!f.len)
			fmt_printf(&f, "0x%lx", pc[i] - 1);
		memcpy(&arg[2 + 4 * i],
			(uint64_t[4]){pc[i], string(w, name, f.len)},
			4 * sizeof(uint64_t));
	}
	arg[0] = id;
	arg[1] = n;
	if (n)
		put(w->out, EV_STACK, arg, 2 + 4 * n);
	return n ? id : 0;
}

/* A stack of one frame: the function that the thread is named after. */
static uint64_t name_stack(struct trace_writer *w, const struct trace_thread *t)
{
	char name[NAME_MAX];
	uint64_t text, key, arg[6];
	uint32_t known, id;
	struct fmt f;

	fmt_init(&f, name, sizeof(name), -1);
	trace_write_name(w, t, &f);
	text = string(w, name, f.len);
	key = text | UINT64_C(1) << 63; /* no recorded stack has this key */
	known = w->stacks.n;
	id = intern_id(&w->stacks, &key, sizeof(key));
	w->no_memory |= !id;
	if (id > known) {
		memcpy(arg, (uint64_t[6]){id, 1, text, text}, sizeof(arg));
		put(w->out, EV_STACK, arg, 6);
	}
	return id;
}

static void head(struct trace_writer *w)
{
	fmt_mem(w->out, "go 1.19 trace\0\0\0", 16);
}

static void go_start(struct trace_writer *w, struct trace_thread *t, int64_t ts)
{
	static const char label[] = "GC (dedicated)";

	if (t->marker)
		PUT(w, t, ts, EV_GO_START_LABEL, t->g, t->seq,
			string(w, label, strlen(label)));
	else
		PUT(w, t, ts, EV_GO_START, t->g, t->seq);
	t->seq++;
}

static void thread(struct trace_writer *w, struct trace_thread *t, int64_t ts)
{
	uint64_t name = name_stack(w, t);

	PUT(w, t, ts, EV_PROC_START, (uint64_t)t->tid);
	/* The utilisation that viewers show is of this many processors. */
	PUT(w, t, ts, EV_GOMAXPROCS, w->nprocs, 0);
	PUT(w, t, ts, EV_GO_CREATE, t->g, name, 0);
	go_start(w, t, ts);
}

static void block(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	static const enum ev why[] = {
		[TRACE_BLOCK_LOCK] = EV_GO_BLOCK_SYNC,
		[TRACE_BLOCK_COND] = EV_GO_BLOCK_COND,
		[TRACE_BLOCK_NET] = EV_GO_BLOCK_NET,
	};

	PUT(w, t, e->ts, why[MIN(e->a, (uint64_t)TRACE_BLOCK_NET)],
		stack(w, e->stack));
	PUT0(w, t, e->ts, EV_PROC_STOP);
}

static void unblock(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	PUT(w, t, e->ts, EV_PROC_START, (uint64_t)t->tid);
	PUT(w, t, e->ts, EV_GO_UNBLOCK, t->g, t->seq, 0);
	t->seq++;
	go_start(w, t, e->ts);
}

static void event(struct trace_writer *w, struct trace_thread *t,
	const struct trace_event *e)
{
	switch (e->type) {
	case TRACE_THREAD_END:
		PUT0(w, t, e->ts, EV_GO_END);
		PUT0(w, t, e->ts, EV_PROC_STOP);
		break;
	case TRACE_BLOCK:
		block(w, t, e);
		break;
	case TRACE_UNBLOCK:
		unblock(w, t, e);
		break;
	case TRACE_GC_START:
		PUT(w, t, e->ts, EV_GC_START, w->cycles++, stack(w, e->stack));
		break;
	case TRACE_GC_DONE:
		PUT0(w, t, e->ts, EV_GC_DONE);
		break;
	case TRACE_STW_START:
		PUT(w, t, e->ts, EV_STW_START, e->a != 0);
		break;
	case TRACE_STW_DONE:
		PUT0(w, t, e->ts, EV_STW_DONE);
		break;
	case TRACE_SWEEP_START:
		PUT(w, t, e->ts, EV_SWEEP_START, stack(w, e->stack));
		break;
	case TRACE_SWEEP_DONE:
		PUT(w, t, e->ts, EV_SWEEP_DONE, e->a, e->b);
		break;
	case TRACE_ASSIST_START:
		PUT(w, t, e->ts, EV_ASSIST_START, stack(w, e->stack));
		break;
	case TRACE_ASSIST_DONE:
		PUT0(w, t, e->ts, EV_ASSIST_DONE);
		break;
	case TRACE_HEAP_ALLOC:
		PUT(w, t, e->ts, EV_HEAP_ALLOC, e->a);
		break;
	case TRACE_HEAP_GOAL:
		PUT(w, t, e->ts, EV_HEAP_GOAL, e->a);
		break;
	}
}

static void tail(struct trace_writer *w)
{
	put(w->out, EV_FREQUENCY, (uint64_t[]){1000000000}, 1);
}

const struct trace_format trace_format_go = {head, thread, event, tail};
