/* SPDX-License-Identifier: MIT */
/*
 * threads: who has to be stopped.
 *
 * The kernel's list, /proc/self/task, is read until it holds nobody new. An
 * entry stays where it is for ever: the signal that asks a thread to stop
 * carries the entry's address, and may arrive long after the stop was given up.
 *
 *	chunk[0]  chunk[1]       chunk[2]          by doubling sizes
 *	| 64    | 64    | 128          | 256 ...
 *
 *	index: tid, hashed -> number of the entry + 1
 *
 * A walk over 1000 threads takes 0.4 ms, so the first is made before the stop,
 * and afterwards the number of threads (the link count of the folder, 1 us)
 * says whether another is needed.
 *
 * Invariants:
 *   T1  entry i is in chunk[0] for i < FIRST, else in the chunk of its power of
 *       two; entries below threads_n are in use, in the order of their finding;
 *   T2  no tid is in the list twice; neither the caller nor the helper is in it.
 *
 * Locks: stw.lock, held by the caller.
 */
#include "gc/threads.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <string.h>

enum {
	FIRST_SHIFT = 6,
	FIRST = 1 << FIRST_SHIFT,
	NCHUNK = 18, /* 64 << 17: twice the kernel's limit of 4 Mi threads */
};

unsigned threads_n;

static struct {
	int self;
	struct stw_thread *chunk[NCHUNK];
	uint32_t *index;
	unsigned index_cap; /* power of two, 0 at first */
} list;

/* Chunk of entry i, and where it begins there. */
static unsigned chunk_of(unsigned i, unsigned *first)
{
	unsigned k;

	*first = 0;
	if (i < FIRST)
		return 0;
	k = 31 - (unsigned)__builtin_clz(i) - FIRST_SHIFT;
	*first = FIRST << k;
	return k + 1;
}

static size_t chunk_bytes(unsigned k)
{
	size_t n = k ? (size_t)FIRST << (k - 1) : FIRST;

	return ALIGN_UP(n * sizeof(struct stw_thread), (size_t)OS_PAGE);
}

struct stw_thread *threads_at(unsigned i)
{
	unsigned first, k = chunk_of(i, &first);

	return &list.chunk[k][i - first];
}

static unsigned hash(int tid)
{
	return (unsigned)tid * 0x9e3779b1u >> 8;
}

static void index_put(unsigned i)
{
	unsigned h = hash(threads_at(i)->tid);

	while (list.index[h & (list.index_cap - 1)])
		h++;
	list.index[h & (list.index_cap - 1)] = i + 1;
}

/* At most half full, so that searches are short. */
static bool index_room(void)
{
	unsigned cap = MAX(list.index_cap * 2, (unsigned)OS_PAGE / 4);
	uint32_t *p;

	if (threads_n < list.index_cap / 2)
		return true;
	p = sysmem_map(NULL, cap * sizeof(*p), SYS_GC);
	if (!p)
		return false;
	if (list.index)
		sysmem_unmap(list.index, list.index_cap * sizeof(*p), SYS_GC);
	list.index = p;
	list.index_cap = cap;
	for (unsigned i = 0; i < threads_n; i++)
		index_put(i);
	return true;
}

struct stw_thread *threads_find(int tid)
{
	unsigned h = hash(tid), i;

	if (!list.index_cap)
		return NULL;
	while ((i = list.index[h & (list.index_cap - 1)])) {
		if (threads_at(i - 1)->tid == tid)
			return threads_at(i - 1);
		h++;
	}
	return NULL;
}

static bool add(int tid)
{
	unsigned first, k = chunk_of(threads_n, &first);
	struct stw_thread *t;

	if (k >= NCHUNK || !index_room())
		return false;
	if (!list.chunk[k])
		list.chunk[k] = sysmem_map(NULL, chunk_bytes(k), SYS_GC);
	if (!list.chunk[k])
		return false;
	t = threads_at(threads_n);
	memset(t, 0, sizeof(*t));
	t->tid = tid;
	index_put(threads_n++);
	return true;
}

void threads_reset(int self)
{
	list.self = self;
	threads_n = 0;
	if (list.index)
		memset(list.index, 0, list.index_cap * sizeof(*list.index));
}

int threads_scan(void)
{
	unsigned before = threads_n;
	struct tasks t;
	bool ok = true;
	int tid;

	if (!tasks_open(&t))
		return -1;
	while (ok && (tid = tasks_next(&t)))
		if (tid != list.self && !threads_find(tid))
			ok = add(tid);
	tasks_close(&t);
	return ok ? (int)(threads_n - before) : -2;
}

bool threads_complete(unsigned gone)
{
	int hidden = tasks_hidden();
	unsigned others = hidden && hidden != list.self ? 2 : 1;

	return tasks_total() == threads_n - gone + others;
}
