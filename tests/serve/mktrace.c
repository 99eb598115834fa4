/* SPDX-License-Identifier: MIT */
/*
 * Writes traces of made-up events, for test_trace.py:
 *
 *	mktrace go|perfetto gc|threads|random SEED >FILE
 */
#include "observe/trace_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct trace_writer writer;
static int64_t now = 1000000000;

static size_t frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	size_t n = stack % 7;

	for (size_t i = 0; i < MIN(n, max); i++)
		pc[i] = 0x400000 + stack * 0x100 + i;
	return n;
}

static void place(struct fmt *f, uint32_t stack, uintptr_t pc)
{
	(void)stack;
	/* Every fifth has no name. */
	if (pc % 5)
		fmt_printf(f, "function_%lx", pc & 0xfff);
}

static void thread_name(struct fmt *f, int tid)
{
	fmt_printf(f, "worker \"%d\"", tid % 3);
}

static const struct trace_names names = {frames, place, thread_name};

static void at(int tid, enum trace_type type, uint32_t stack, uint64_t a,
	uint64_t b)
{
	const struct trace_event e = {.ts = now += 1000,
		.tid = tid,
		.type = (uint16_t)type,
		.stack = stack,
		.a = a,
		.b = b};

	trace_write(&writer, &e);
}

/* Three cycles with their stops and counters, told by one thread. */
static void gc(void)
{
	for (uint64_t i = 0; i < 3; i++) {
		at(10, TRACE_HEAP_ALLOC, 0, 4000000 + i, 0);
		at(10, TRACE_HEAP_GOAL, 0, 4194304, 0);
		at(10, TRACE_GC_START, 6, 0, 0);
		at(10, TRACE_STW_START, 0, TRACE_STW_SWEEP_TERMINATION, 0);
		at(10, TRACE_STW_DONE, 0, 0, 0);
		at(10, TRACE_MARK_START, 0, 99, 0);
		at(10, TRACE_MARK_DONE, 0, 99, 0);
		at(10, TRACE_STW_START, 0, TRACE_STW_MARK_TERMINATION, 0);
		at(10, TRACE_STW_DONE, 0, 0, 0);
		at(10, TRACE_GC_DONE, 0, 0, 0);
		at(10, TRACE_HEAP_ALLOC, 0, 1000000 + i, 0);
	}
}

static void threads(void)
{
	at(10, TRACE_THREAD, 0, 0, 0);
	at(10, TRACE_THREAD_START, 5, 11, 0);
	at(10, TRACE_THREAD_START, 5, 12, 0);
	at(11, TRACE_BLOCK, 3, TRACE_BLOCK_LOCK, 0);
	at(12, TRACE_BLOCK, 3, TRACE_BLOCK_NET, 0);
	at(10, TRACE_GC_START, 2, 0, 0);
	at(10, TRACE_ASSIST_START, 4, 0, 0);
	at(11, TRACE_UNBLOCK, 0, 0, 0);
	at(11, TRACE_SWEEP_START, 4, 0, 0);
	at(10, TRACE_ASSIST_DONE, 0, 0, 0);
	at(11, TRACE_SWEEP_DONE, 0, 8192, 4096);
	at(10, TRACE_GC_DONE, 0, 0, 0);
	at(12, TRACE_UNBLOCK, 0, 0, 0);
	at(12, TRACE_BLOCK, 0, TRACE_BLOCK_COND, 0);
	at(11, TRACE_THREAD_END, 0, 0, 0);
	at(10, TRACE_THREAD_START, 5, 13, 0); /* takes 11's place */
	at(12, TRACE_THREAD_END, 0, 0, 0);
	at(13, TRACE_THREAD_END, 0, 0, 0);
}

/* Anything in any order, with clocks that jump: must still be readable. */
static void at_random(void)
{
	int n = rand() % 2000;

	for (int i = 0; i < n; i++) {
		now += rand() % 3000 - 1500;
		at(100 + rand() % 6, (enum trace_type)(rand() % (TRACE_NTYPE + 2)),
			(uint32_t)rand() % 40, 100 + (uint64_t)rand() % 6,
			(uint64_t)rand() << 33);
	}
}

int main(int argc, char **argv)
{
	char buf[4096];
	struct fmt f;

	if (argc != 4)
		return 2;
	fmt_init(&f, buf, sizeof(buf), STDOUT_FILENO);
	srand((unsigned)atoi(argv[3]));
	trace_write_begin(&writer, &f,
		strcmp(argv[1], "go") ? &trace_format_perfetto
				      : &trace_format_go,
		&names);
	if (!strcmp(argv[2], "gc"))
		gc();
	else if (!strcmp(argv[2], "threads"))
		threads();
	else
		at_random();
	return trace_write_end(&writer) || fmt_flush(&f);
}
