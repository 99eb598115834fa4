/* SPDX-License-Identifier: MIT */
/*
 * trace: from any thread into a ring, from the ring into a file.
 *
 *	trace_record() ──▶ [ | | |x|x|x|?|x| | | ] ──▶ trace_read() ──▶ writer
 *	                    tail ▲         ▲ head
 *
 * Each slot carries the turn in which it may be written or read next (the
 * bounded queue of D. Vyukov): pos when free for the event number pos, pos + 1
 * when that event is in it. A writer takes a number with one compare-and-swap
 * and then has its slot to itself, so nobody waits for anybody, and a signal
 * handler may record while it interrupts a recording. A full ring drops the
 * new event.
 *
 * The ring is made for the first trace and then kept: a thread may be about to
 * write into it at any time. What it writes after the end of a trace carries
 * that trace's number, and the next one's reader passes over it.
 *
 * Invariants:
 *   I1  tail <= head <= tail + TRACE_RING, counted in events;
 *   I2  an event's session is that of the time when its number was taken.
 *
 * Locks: trace.lock (LOCK_TRACE) for start, read and stop.
 *
 * Rejected: a buffer for each thread, as Go has. Events are few (some dozen a
 * cycle, and one for each thread's start and end), buffers for a thousand
 * threads would be large, and here the order in which numbers were taken is
 * the order of events.
 */
#include "observe/trace.h"
#include "base/lock.h"
#include "observe/helper.h"
#include "os/clock.h"
#include "os/procfile.h"
#include "os/tasks.h"
#include "profile/modules.h"
#include "profile/stacktab.h"

#include <errno.h>
#include <string.h>

struct slot {
	uint64_t turn;
	struct trace_event e;
};

uint32_t trace_active; /* number of the trace being taken, 0: none */

static struct {
	struct slot *ring; /* written once */
	uint64_t head;	   /* number of the next event; atomic */
	uint64_t dropped;  /* atomic */

	struct lock lock;
	uint64_t tail; /* number of the next event to be read */
	uint32_t sessions;
	struct trace_writer writer;
} trace = {.lock = LOCK_INIT(LOCK_TRACE)};

void trace_record(enum trace_type type, uint32_t stack, uint64_t a, uint64_t b)
{
	struct trace_event e = {.ts = clock_mono_ns(),
		.a = a,
		.b = b,
		.tid = (int32_t)sys0(SYS_gettid),
		.stack = stack,
		.type = (uint16_t)type,
		.session = (uint16_t)load_relaxed(&trace_active)};
	uint64_t pos = load_relaxed(&trace.head);
	/* acquire [ring]: pairs with the release in make_ring(). */
	struct slot *s = load_acquire(&trace.ring);

	for (;;) {
		struct slot *at = &s[pos % TRACE_RING];
		/* acquire [turn]: the reader is done with the slot. */
		uint64_t turn = load_acquire(&at->turn);

		if (turn < pos) { /* full */
			add_relaxed(&trace.dropped, 1);
			return;
		}
		if (turn == pos && cas_relaxed(&trace.head, &pos, pos + 1)) {
			at->e = e;
			/* release [turn]: publishes the event. */
			store_release(&at->turn, pos + 1);
			return;
		}
		if (turn != pos)
			pos = load_relaxed(&trace.head);
	}
}

static bool make_ring(void)
{
	size_t size = ALIGN_UP(TRACE_RING * sizeof(struct slot),
		(size_t)OS_PAGE);
	struct slot *s = trace.ring;

	if (s)
		return true;
	s = sysmem_map(NULL, size, SYS_OTHER);
	if (!s)
		return false;
	for (uint64_t i = 0; i < TRACE_RING; i++)
		s[i].turn = i;
	/* release [ring]: publishes the slots' turns. */
	store_release(&trace.ring, s);
	return true;
}

/*
 * Threads come and go without telling us; the kernel knows who is there. Under
 * lock, with writer.out set.
 */
static void census(void)
{
	int64_t now = clock_mono_ns();
	int self = helper_tid(), tid;
	struct tasks t;

	if (!tasks_open(&t))
		return;
	while ((tid = tasks_next(&t)))
		trace_write_seen(&trace.writer, tid, now);
	tasks_close(&t);
	/* Hidden from that list, but not from a trace if it collects. */
	if (trace_write_knows(&trace.writer, self))
		trace_write_seen(&trace.writer, self, now);
	trace_write_census(&trace.writer, now);
}

/* Take the next event out of the ring. Under lock. */
static bool take(struct trace_event *e)
{
	struct slot *s = &trace.ring[trace.tail % TRACE_RING];

	/* acquire [turn]: the event is whole. */
	if (load_acquire(&s->turn) != trace.tail + 1)
		return false;
	*e = s->e;
	/* release [turn]: the event has been copied. */
	store_release(&s->turn, trace.tail + TRACE_RING);
	trace.tail++;
	return true;
}

/* Under lock. */
static void drain(struct fmt *out)
{
	struct trace_event e;

	trace.writer.out = out;
	while (take(&e))
		if (out && e.session == (uint16_t)trace.sessions)
			trace_write(&trace.writer, &e);
	if (out)
		census();
}

static size_t frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	return stacktab_frames(stack, pc, max);
}

/* "libfoo.so+0x12ab", as the file's own headers count. */
static void place(struct fmt *f, uint32_t stack, uintptr_t pc)
{
	const struct module *m =
		modules_find(pc - 1, stacktab_generation(stack));
	const char *slash = m ? strrchr(m->path, '/') : NULL;

	if (m)
		fmt_printf(f, "%s+0x%lx", slash ? slash + 1 : m->path,
			pc - 1 - m->bias);
}

static void thread_name(struct fmt *f, int tid)
{
	char path[48], name[32];
	struct fmt p;

	fmt_init(&p, path, sizeof(path), -1);
	fmt_printf(&p, "/proc/self/task/%d/comm", tid);
	procfile_read(fmt_cstr(&p), name, sizeof(name));
	fmt_mem(f, name, strcspn(name, "\n"));
}

static const struct trace_names names = {frames, place, thread_name};

int trace_start(const struct trace_format *format, struct fmt *out,
	uint32_t *token)
{
	int error = 0;

	lock(&trace.lock);
	if (trace_active) {
		error = EBUSY;
	} else if (!make_ring()) {
		error = ENOMEM;
	} else {
		drain(NULL); /* late events of the trace before */
		if (!(uint16_t)++trace.sessions)
			trace.sessions++;
		trace_write_begin(&trace.writer, out, format, &names);
		store_relaxed(&trace_active, trace.sessions);
		census();
		*token = trace.sessions;
	}
	unlock(&trace.lock);
	return error;
}

void trace_read(uint32_t token, struct fmt *out)
{
	lock(&trace.lock);
	if (token && token == trace_active)
		drain(out);
	unlock(&trace.lock);
}

int trace_stop(uint32_t token, struct fmt *out)
{
	int error = ESRCH;

	lock(&trace.lock);
	if (token && token == trace_active) {
		store_relaxed(&trace_active, 0);
		drain(out);
		error = trace_write_end(&trace.writer);
	}
	unlock(&trace.lock);
	return error;
}

uint64_t trace_dropped(void)
{
	return load_relaxed(&trace.dropped);
}

void trace_prefork(void)
{
	lock(&trace.lock);
}

void trace_parent(void)
{
	unlock(&trace.lock);
}

void trace_child(void)
{
	lock_reinit(&trace.lock);
	if (trace_active) {
		store_relaxed(&trace_active, 0);
		trace.writer.out = NULL;
		trace_write_end(&trace.writer);
	}
	/*
	 * A thread of the parent may have taken a number that it will not use
	 * here, and the reader would wait for it for ever: begin anew.
	 */
	for (uint64_t i = 0; trace.ring && i < TRACE_RING; i++)
		trace.ring[i].turn = i;
	trace.head = trace.tail = 0;
}
