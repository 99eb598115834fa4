/* SPDX-License-Identifier: MIT */
/*
 * mark: what can be reached from the roots.
 *
 *	roots --words--> candidates --mark bit was 0--> queue of spans
 *	                     ^                              |
 *	                     +------- words of objects <----+
 *
 * Conservative: a word that, as a number, is an address inside an allocated
 * object keeps that object, whatever its type; interior addresses count like
 * first ones.
 *
 * The queue holds spans, not objects. A span that waits in it collects marks
 * meanwhile, and its objects are then scanned together, in address order; and
 * since it is in the queue at most once, the queue has a bound: it can't
 * overflow, however deep or wide the graph. A ring of one word a span is all
 * the memory that marking needs beside the bits. Large objects, roots and
 * mappings are scanned in pieces and go back to the end of the queue, so that
 * others can help.
 *
 * Where several threads mark, each has a queue. Who runs dry takes spans from
 * a shared ring, into which the others put half of theirs when they see that
 * somebody is idle. A span may change hands or be in work at two places: bits
 * are set with atomic operations, and who sets a scan bit scans the object.
 *
 * Invariants, while nothing is in flight:
 *   K1  a marked object has its scan bit set, or its span is in a queue;
 *   K2  a span is in a queue exactly if its head says HV_QUEUED.
 *
 * Mappings that are objects: mark_maps.c.
 *
 * Rejected: a stack of objects. Depth first finds fewer neighbours (see
 * mark_loop.h), and the stack may need as many entries as there are objects.
 */
#include "gc/mark_kernel.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <linux/futex.h>
#include <sched.h>
#include <string.h>

enum {
	STACK = 64 << 10, /* of a marking thread; it uses 4 KiB */
	TAKE = 64,	  /* spans taken from the shared ring at once */
};

/* -------- sharing -------- */

static void share_lock(struct marker *m)
{
	/*
	 * acquire [share]: pairs with share_unlock(). No futex: the threads
	 * that could wait are as many as there are CPUs.
	 */
	while (xchg_acquire(&m->share_lock, 1))
		cpu_relax();
}

static void share_unlock(struct marker *m)
{
	/* release [share]: pairs with share_lock(). */
	store_release(&m->share_lock, 0);
}

void mark_share(struct mark_worker *w)
{
	struct marker *m = w->m;
	size_t n = (w->tail - w->head) / 2;

	share_lock(m);
	if (m->shared_tail - m->shared_head >= (size_t)TAKE * m->o.nworkers)
		n = 0; /* enough for all of them */
	while (n--)
		m->shared[m->shared_tail++ & m->queue_mask] =
			w->queue[w->head++ & m->queue_mask];
	share_unlock(m);
}

/* Under share_lock. */
static size_t take_shared(struct mark_worker *w)
{
	struct marker *m = w->m;
	size_t n = m->shared_tail - m->shared_head;

	n = MIN((n + 1) / 2, (size_t)TAKE);
	for (size_t i = 0; i < n; i++)
		w->queue[w->tail++ & m->queue_mask] =
			m->shared[m->shared_head++ & m->queue_mask];
	return n;
}

/* Under share_lock. The next piece of the roots; false: none is left. */
static bool take_root(struct marker *m, uintptr_t *lo, uintptr_t *hi)
{
	while (m->nroots) {
		const struct root_range *r = m->root;
		size_t overlap = m->step < 8 ? 7 : 0;

		*lo = r->lo + m->root_off;
		*hi = MIN(*lo + MARK_CHUNK + overlap, r->hi);
		m->root_off += MARK_CHUNK;
		if (*lo < *hi && m->root_kinds >> r->kind & 1)
			return true;
		m->root++;
		m->nroots--;
		m->root_off = 0;
	}
	return false;
}

enum work { WORK_NONE, WORK_ROOT, WORK_SPANS };

static enum work take_work(struct mark_worker *w, uintptr_t *lo, uintptr_t *hi)
{
	struct marker *m = w->m;
	enum work got = WORK_NONE;

	share_lock(m);
	if (take_root(m, lo, hi))
		got = WORK_ROOT;
	else if (take_shared(w))
		got = WORK_SPANS;
	share_unlock(m);
	return got;
}

/*
 * Wait for work. Only who is not idle makes any, so when all are idle and
 * there is none, there won't be.
 */
static enum work wait_for_work(
	struct mark_worker *w, uintptr_t *lo, uintptr_t *hi)
{
	struct marker *m = w->m;
	enum work got = take_work(w, lo, hi);

	if (got != WORK_NONE)
		return got;
	/* seq_cst: the last one to become idle sees all the others. */
	__atomic_fetch_add(&m->nidle, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		share_lock(m);
		if (m->shared_tail != m->shared_head) {
			take_shared(w);
			sub_relaxed(&m->nidle, 1);
			share_unlock(m);
			return WORK_SPANS;
		}
		share_unlock(m);
		/* nidle falls under the lock only: then there was work. */
		if (load_relaxed(&m->nidle) >= m->o.nworkers)
			return WORK_NONE;
		sys0(SYS_sched_yield);
	}
}

static void work(struct mark_worker *w)
{
	const struct marker *m = w->m;
	uintptr_t lo, hi;
	enum work got;

	do {
		if (m->o.nworkers > 1)
			m->kernel->drain_mt(w);
		else
			m->kernel->drain(w);
		got = wait_for_work(w, &lo, &hi);
		if (got == WORK_ROOT)
			mark_scan_resident(w, lo, hi);
	} while (got != WORK_NONE);
}

/* -------- threads -------- */

struct helper_start {
	struct mark_worker *w;
	uint32_t running; /* the kernel sets it to 0 and wakes */
};

bool (*mark_thread)(void (*run)(void *), void *arg);

static void helper_main(struct helper_start *s)
{
	work(s->w);
	sys1(SYS_exit, 0);
}

/* The same in a thread of mark_thread's. */
static void helper_run(void *arg)
{
	struct helper_start *s = arg;

	work(s->w);
	/* release [helper]: what the kernel does for the other kind. */
	store_release(&s->running, 0);
}

/*
 * A thread without the C library: it shares its creator's thread pointer, so
 * nothing that it calls may use errno or other thread-local state.
 */
static bool start_helper(struct helper_start *s, char *stack)
{
	long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
		     CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	long *top = (long *)(stack + STACK);
	register long r10 __asm__("r10") = (long)&s->running;
	register long r8 __asm__("r8") = 0;
	long ret;

	*--top = (long)s;
	*--top = (long)helper_main;
	s->running = 1;
	if (mark_thread)
		return mark_thread(helper_run, s);
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(0L),
			 "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	if (sys_failed(ret))
		s->running = 0;
	return !sys_failed(ret);
}

static void join_helper(struct helper_start *s)
{
	uint32_t running;

	/* acquire [helper]: the kernel clears it after the last store. */
	while ((running = load_acquire(&s->running)) != 0)
		if (mark_thread)
			sys0(SYS_sched_yield);
		else
			sys4(SYS_futex, &s->running, FUTEX_WAIT, running, NULL);
}

static void work_together(struct marker *m)
{
	struct helper_start start[MARK_WORKERS];
	unsigned n = m->o.nworkers;
	char *stacks = sysmem_map(NULL, (size_t)STACK * n, SYS_GC);

	for (unsigned i = 1; i < n; i++) {
		start[i].w = &m->worker[i];
		start[i].running = 0;
		if (stacks && start_helper(&start[i], stacks + i * STACK))
			continue;
		if (i == 1)
			m->o.nworkers = 1; /* not one can be started */
		else
			add_relaxed(&m->nidle, 1);
		if (i == 1)
			break;
	}
	work(&m->worker[0]);
	for (unsigned i = 1; i < m->o.nworkers; i++)
		join_helper(&start[i]);
	if (stacks)
		sysmem_unmap(stacks, (size_t)STACK * n, SYS_GC);
	m->nidle = 0;
}

/* -------- the outside -------- */

bool marker_use(struct marker *m, enum mark_isa isa)
{
	static const struct mark_kernel *const kernel[MARK_NISA] = {
		&mark_scalar, &mark_avx2, &mark_avx512};

	__builtin_cpu_init();
	if (isa == MARK_AVX2 && !(__builtin_cpu_supports("avx2") &&
					__builtin_cpu_supports("bmi2")))
		return false;
	if (isa == MARK_AVX512 && !(__builtin_cpu_supports("avx512f") &&
					  __builtin_cpu_supports("avx512dq") &&
					  __builtin_cpu_supports("avx512vl") &&
					  __builtin_cpu_supports("avx512bw") &&
					  __builtin_cpu_supports("bmi2")))
		return false;
	m->kernel = kernel[isa];
	return true;
}

const struct mark_kernel *marker_best(void)
{
	struct marker m;

	if (!marker_use(&m, MARK_AVX512) && !marker_use(&m, MARK_AVX2))
		marker_use(&m, MARK_SCALAR);
	return m.kernel;
}

static bool alloc_workers(struct marker *m)
{
	unsigned n = m->o.nworkers;
	size_t entries = 64;

	while (entries < m->v->nblocks + (size_t)1)
		entries *= 2;
	m->queue_mask = entries - 1;
	m->queue_bytes = ALIGN_UP(
		entries * (n + (n > 1)) * sizeof(uint32_t), (size_t)OS_PAGE);
	m->worker_bytes =
		ALIGN_UP(n * sizeof(struct mark_worker), (size_t)OS_PAGE);
	m->queues = sysmem_map(NULL, m->queue_bytes, SYS_GC);
	m->worker = sysmem_map(NULL, m->worker_bytes, SYS_GC);
	if (!m->queues || !m->worker)
		return false;
	for (unsigned i = 0; i < n; i++) {
		m->worker[i].m = m;
		m->worker[i].queue = m->queues + i * entries;
	}
	m->shared = m->queues + n * entries; /* used if n > 1 */
	return true;
}

bool marker_init(
	struct marker *m, struct heapview *v, const struct mark_options *o)
{
	memset(m, 0, sizeof(*m));
	m->v = v;
	m->o = *o;
	m->o.nworkers = MIN(MAX(o->nworkers, 1u), (unsigned)MARK_WORKERS);
	m->word_mask = ~(uint64_t)0 >> o->tag_bits;
	m->step = o->unaligned ? 1 : o->halves ? 4 : 8;
	m->pagemap = -1;
	m->kernel = marker_best();
	if (!alloc_workers(m)) {
		marker_free(m);
		return false;
	}
	mark_init_maps(m);
	mark_open_pagemap(m);
	return true;
}

void marker_free(struct marker *m)
{
	if (m->kernel)
		m->kernel->wipe();
	if (m->queues)
		sysmem_unmap(m->queues, m->queue_bytes, SYS_GC);
	if (m->worker)
		sysmem_unmap(m->worker, m->worker_bytes, SYS_GC);
	if (m->pagemap >= 0)
		sys1(SYS_close, m->pagemap);
	m->queues = NULL;
	m->worker = NULL;
	m->pagemap = -1;
}

static void add_words(struct marker *m)
{
	const struct rootset *rs = m->v->roots;
	const struct root_word *w = rootset_words(rs);
	struct hv_slot s;

	for (size_t i = 0; i < rs->words.n; i++)
		if (m->root_kinds >> w[i].kind & 1 &&
			heapview_find(m->v, w[i].word & m->word_mask, &s))
			marker_add(m, s);
}

void marker_roots(struct marker *m, uint32_t kinds)
{
	if (!m->v->roots)
		return;
	m->root_kinds = kinds;
	m->root = rootset_ranges(m->v->roots);
	m->nroots = m->v->roots->ranges.n;
	m->root_off = 0;
	add_words(m);
	if (m->o.nworkers > 1)
		work_together(m);
	else
		work(&m->worker[0]);
	m->nidle = 0;
}

bool marker_add(struct marker *m, struct hv_slot s)
{
	uint64_t *mark = &m->v->word[s.block + 1 + s.slot / 64];
	uint64_t bit = (uint64_t)1 << s.slot % 64;

	if (*mark & bit)
		return false;
	*mark |= bit;
	if (hv_head_class(m->v->word[s.block]) == HV_MAPPING)
		m->map_left--;
	mark_queue_block(&m->worker[0], s.block);
	return true;
}

void marker_range(struct marker *m, uintptr_t lo, uintptr_t hi)
{
	for (; lo < hi; lo += MARK_CHUNK) {
		uintptr_t at = lo, end = MIN(lo + MARK_CHUNK, hi), stop = end;

		for (; at < stop; at = end, end = stop) {
			if (!mark_resident(m, &at, &end))
				break;
			m->kernel->scan(&m->worker[0], at, end);
		}
	}
}

void marker_drain(struct marker *m)
{
	m->kernel->drain(&m->worker[0]);
}

static void set_queued(struct marker *m, bool queued)
{
	struct hv_block b;
	bool more;

	for (more = heapview_first(m->v, &b); more;
		more = heapview_next(m->v, &b)) {
		uint64_t *head = &m->v->word[b.at];

		*head = (*head & ~(uint64_t)HV_QUEUED) |
			(queued ? HV_QUEUED : 0);
	}
}

void marker_edges_begin(struct marker *m)
{
	m->map_left = 0;
	set_queued(m, true); /* so nothing can be queued: K2 does not hold */
}

void marker_edges(struct marker *m, const struct hv_block *b, uint32_t slot)
{
	marker_range(m, hv_address(b, slot), hv_address(b, slot) + b->size);
}

void marker_edges_end(struct marker *m)
{
	set_queued(m, false);
}
