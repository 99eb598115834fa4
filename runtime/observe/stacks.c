/* SPDX-License-Identifier: MIT */
/*
 * stacks: how much stack the threads have, and use.
 *
 *	/proc/self/task ── tid ─┬─ get_robust_list ─▶ top   ─┐
 *	                        └─ TID/syscall ─────▶ sp     ├─ sorted
 *	/proc/self/maps ──────────────────────────▶ mapping ─┘  one pass
 *
 * The kernel tells a blocked thread's stack pointer to whoever may trace it,
 * but not which mapping is a thread's stack, and nothing about running threads.
 * libc does, by accident: it keeps struct pthread at the very top of each
 * stack, and the list head that get_robust_list() reports is part of it. So the
 * page behind that head is the top of the stack, whatever the thread does now,
 * and also where the kernel has merged neighbours into one mapping.
 *
 *	lo (guard below)        sp                   head   top
 *	├─ untouched ─┼─ touched ┼──────── in use ─────┼─────┤
 *
 * The first thread's stack is the mapping called [stack]. A thread without a
 * robust list (not made by libc) has the mapping that its sp lies in.
 *
 * Invariants:
 *   I1  no byte is counted twice: in one mapping a stack begins where the one
 *       below ends;
 *   I2  what is counted as in use was counted as sys.
 *
 * Rejected: a registry filled at pthread_create (misses threads that exist
 * already, costs the program, and cannot tell the depth); asking each thread by
 * a signal (blocked calls would return EINTR).
 */
#include "observe/stacks.h"
#include "alloc/heap.h"
#include "base/fmt.h"
#include "os/procmaps.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
	FEW = 32,	     /* threads that need no mapping to sort */
	SPARE = 64,	     /* threads that may start between two walks */
	MAPS_BUF = 2048,     /* only one short name matters */
	STRETCH_PAGES = 256, /* 1 MiB */
};

struct stack {
	uintptr_t top; /* first byte behind it; 0: not known */
	uintptr_t sp;  /* 0: not known */
};

struct scan {
	struct stack *v;
	unsigned n, cap;
	unsigned nthreads;
	struct stack first; /* of the first thread */
	uint64_t inuse, sys;
	struct stack few[FEW];
	char buf[MAPS_BUF];
};

static struct {
	int tid; /* whose stack pointer sp is */
	uintptr_t sp;
} moved;

void stacks_moved(uintptr_t sp)
{
	store_relaxed(&moved.tid, sp ? (int)sys0(SYS_gettid) : 0);
	store_relaxed(&moved.sp, sp);
}

/* The last but one word of "NR ARGS... SP PC", or 0. */
static uintptr_t parse_sp(const char *s)
{
	const char *pc = strrchr(s, ' ');
	uintptr_t v = 0;

	if (!pc)
		return 0; /* "running" */
	while (pc > s && pc[-1] != ' ')
		pc--;
	if (strncmp(pc, "0x", 2))
		return 0;
	for (pc += 2; *pc != ' '; pc++)
		v = v << 4 |
		    (uintptr_t)(*pc <= '9' ? *pc - '0' : *pc - 'a' + 10);
	return v;
}

static uintptr_t sp_of(const struct tasks *t, int tid)
{
	char path[32], text[256];
	struct fmt f;
	long fd, n;

	fmt_init(&f, path, sizeof(path), -1);
	fmt_printf(&f, "%d/syscall", tid);
	fd = sys3(SYS_openat, t->fd, fmt_cstr(&f), O_RDONLY | O_CLOEXEC);
	if (sys_failed(fd))
		return 0;
	n = sys3(SYS_read, fd, text, sizeof(text) - 1);
	sys1(SYS_close, fd);
	if (sys_failed(n))
		return 0;
	text[n] = '\0';
	return parse_sp(text);
}

static uintptr_t top_of(int tid)
{
	uintptr_t head = 0;
	size_t len = 0;

	if (sys_failed(sys3(SYS_get_robust_list, tid, &head, &len)))
		return 0;
	return ALIGN_UP(head, (uintptr_t)OS_PAGE);
}

static void find_threads(struct scan *s, struct tasks *t)
{
	int self = (int)sys0(SYS_gettid), tid;

	while ((tid = tasks_next(t))) {
		struct stack k = {.top = top_of(tid)};

		if (tid == load_relaxed(&moved.tid))
			k.sp = load_relaxed(&moved.sp);
		else if (tid == self)
			k.sp = (uintptr_t)__builtin_frame_address(0);
		else
			k.sp = sp_of(t, tid);
		/* The kernel lists the first thread first. */
		if (!s->nthreads++)
			s->first = k;
		else if (s->n < s->cap && (k.top || k.sp))
			s->v[s->n++] = k;
	}
}

/* An address inside the stack. */
static uintptr_t key(const struct stack *k)
{
	return k->top ? k->top - 1 : k->sp;
}

static void sift(struct stack *v, unsigned i, unsigned n)
{
	struct stack k = v[i];

	for (unsigned child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && key(&v[child]) < key(&v[child + 1]))
			child++;
		if (key(&k) >= key(&v[child]))
			break;
		v[i] = v[child];
	}
	v[i] = k;
}

/* Heapsort: in place, and no input makes it slow. */
static void sort(struct stack *v, unsigned n)
{
	for (unsigned i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (unsigned i = n; i-- > 1;) {
		struct stack k = v[i];

		v[i] = v[0];
		v[0] = k;
		sift(v, 0, i);
	}
}

/*
 * Bytes from hi down to the lowest page that has been touched. Untouched ones
 * lie between: the kernel leaves a random gap at the top of the first stack,
 * and frames hold arrays that nobody fills. A whole stretch of them is the end.
 */
static size_t touched(uintptr_t lo, uintptr_t hi)
{
	unsigned char vec[STRETCH_PAGES];
	uintptr_t lowest = hi, at = hi;

	while (at > lo) {
		size_t pages = MIN((at - lo) / OS_PAGE, (size_t)STRETCH_PAGES);
		size_t first = 0;

		at -= pages * OS_PAGE;
		if (!pages ||
			sys_failed(sys3(SYS_mincore, at, pages * OS_PAGE, vec)))
			break;
		while (first < pages && !(vec[first] & 1))
			first++;
		if (first == pages)
			break;
		lowest = at + first * OS_PAGE;
	}
	return hi - lowest;
}

/* A stack that has [lo, hi) to itself. */
static void add(
	struct scan *s, const struct stack *k, uintptr_t lo, uintptr_t hi)
{
	if (hi <= lo || heap_owns((const void *)(hi - 1)))
		return;
	s->sys += hi - lo;
	s->inuse += k->sp >= lo && k->sp < hi ? hi - k->sp : touched(lo, hi);
}

static void match(struct scan *s)
{
	struct procmaps m;
	struct procmap v;
	unsigned i = 0;

	procmaps_open(&m, s->buf, sizeof(s->buf));
	while (procmaps_next(&m, &v)) {
		uintptr_t lo = v.lo;

		if (!strcmp(v.path, "[stack]"))
			add(s, &s->first, v.lo, v.hi);
		while (i < s->n && key(&s->v[i]) < v.lo)
			i++; /* in no mapping: the thread is gone */
		for (; i < s->n && key(&s->v[i]) < v.hi; i++) {
			const struct stack *k = &s->v[i];
			uintptr_t hi = k->top ? MIN(k->top, v.hi) : v.hi;

			add(s, k, lo, hi);
			lo = MAX(lo, hi);
		}
	}
	procmaps_close(&m);
}

void stacks_read(uint64_t *inuse, uint64_t *sys, unsigned *nthreads)
{
	unsigned expected = tasks_count() + SPARE;
	size_t size =
		ALIGN_UP(expected * sizeof(struct stack), (size_t)OS_PAGE);
	struct stack *many = NULL;
	struct tasks t;
	struct scan s;

	s.v = s.few;
	s.cap = FEW;
	s.n = s.nthreads = 0;
	s.inuse = s.sys = 0;
	if (expected > FEW + SPARE)
		many = sysmem_map(NULL, size, SYS_OTHER);
	if (many) {
		s.v = many;
		s.cap = expected;
	}
	if (tasks_open(&t)) {
		find_threads(&s, &t);
		tasks_close(&t);
		sort(s.v, s.n);
		match(&s);
	}
	if (many)
		sysmem_unmap(many, size, SYS_OTHER);
	*inuse = s.inuse;
	*sys = s.sys;
	*nthreads = s.nthreads;
}
