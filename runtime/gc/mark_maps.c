/* SPDX-License-Identifier: MIT */
/*
 * mark_maps: mappings that are objects, and what of them has memory.
 *
 *	word outside of the heap --> w->far --> filter, a bit for 2 MiB
 *	                                          |
 *	                    queue of spans <-- mapping not marked yet
 *
 * They are looked up in batches, apart from the loop that marks the heap: there
 * are few, and most words that are no heap address are none of theirs either.
 *
 * Memory without pages is not touched: reading it would give the snapshot page
 * tables, and take longer than asking pagemap.
 *
 * Invariant: B1 map_left is the number of mappings that are not marked.
 */
#include "gc/mark_kernel.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <fcntl.h>
#include <string.h>

enum {
	ASK_MIN = 128 << 10, /* bytes for which pagemap is worth a call */
	FILTER_SHIFT = 21,
};

static unsigned filter_bit(uintptr_t p)
{
	return (p >> FILTER_SHIFT) * 0x9e3779b97f4a7c15ull >> 52;
}

void mark_init_maps(struct marker *m)
{
	const struct heapview *v = m->v;

	if (!v->nmaps || m->o.no_mappings)
		return;
	m->map_lo = v->map[0].lo;
	m->map_hi = v->map[v->nmaps - 1].hi;
	for (size_t i = 0; i < v->nmaps; i++) {
		const struct root_mapping *r = &v->map[i];
		struct hv_block b;

		heapview_block(v, heapview_map_slot(v, i).block, &b);
		m->map_left += !(b.mark[0] & 1);
		for (uintptr_t p = r->lo; p < ALIGN_UP(r->hi, HUGE_PAGE);
			p += HUGE_PAGE) {
			unsigned bit = filter_bit(p);

			m->map_filter[bit / 64] |= (uint64_t)1 << bit % 64;
		}
	}
}

void mark_queue_block(struct mark_worker *w, uint32_t block)
{
	uint64_t *head = &w->m->v->word[block];

	/* seq_cst: see pop_head() in mark_loop.h. */
	if (__atomic_fetch_or(head, HV_QUEUED, __ATOMIC_SEQ_CST) & HV_QUEUED)
		return;
	w->queue[w->tail++ & w->m->queue_mask] = block;
}

static void mark_mapping(struct mark_worker *w, uint32_t block)
{
	uint64_t *mark = &w->m->v->word[block + 1];

	if (load_relaxed(mark) & 1)
		return;
	/* seq_cst: see pop_head() in mark_loop.h. */
	if (__atomic_fetch_or(mark, 1, __ATOMIC_SEQ_CST) & 1)
		return;
	sub_relaxed(&w->m->map_left, 1);
	mark_queue_block(w, block);
}

void mark_far(struct mark_worker *w)
{
	const struct marker *m = w->m;

	for (unsigned k = 0; k < w->nfar; k++) {
		uintptr_t p = w->far[k] + m->map_lo;
		unsigned bit = filter_bit(p);
		uint32_t block;

		if (!(m->map_filter[bit / 64] >> bit % 64 & 1))
			continue;
		block = heapview_mapping(m->v, p);
		if (block)
			mark_mapping(w, block);
	}
	w->nfar = 0;
}

/* -------- residency -------- */

void mark_open_pagemap(struct marker *m)
{
	long fd = sys4(SYS_openat, AT_FDCWD, "/proc/thread-self/pagemap",
		O_RDONLY | O_CLOEXEC, 0);

	m->pagemap = sys_failed(fd) ? -1 : (int)fd;
}

bool mark_resident(const struct marker *m, uintptr_t *lo, uintptr_t *hi)
{
	enum { PAGES = MARK_CHUNK / OS_PAGE + 2, IN_MEMORY = 62 };
	uint64_t page[PAGES];
	uintptr_t first = *lo / OS_PAGE, i = 0;
	size_t n = MIN((*hi + OS_PAGE - 1) / OS_PAGE - first, (size_t)PAGES);
	long got;

	if (m->pagemap < 0 || *hi - *lo < ASK_MIN)
		return true;
	got = sys4(SYS_pread64, m->pagemap, page, n * sizeof(page[0]),
		first * sizeof(page[0]));
	if (got != (long)(n * sizeof(page[0])))
		return true;
	while (i < n && !(page[i] >> IN_MEMORY)) /* present or swapped */
		i++;
	if (i == n)
		return false;
	*lo = MAX(*lo, (first + i) * OS_PAGE);
	while (i < n && page[i] >> IN_MEMORY)
		i++;
	*hi = MIN(*hi, (first + i) * OS_PAGE);
	return true;
}

void mark_scan_resident(struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	const struct marker *m = w->m;
	uintptr_t at, end;

	for (at = lo, end = hi; at < hi; at = end, end = hi) {
		if (!mark_resident(m, &at, &end))
			return;
		if (m->o.nworkers > 1)
			m->kernel->scan_mt(w, at, end);
		else
			m->kernel->scan(w, at, end);
	}
}

/* Words at all addresses, for there are no others in machine code. */
static void scan_code(struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	const struct mark_kernel *k = w->m->kernel;

	for (unsigned i = 0; i < 8; i++) {
		uintptr_t at = lo + i, end = at + ((hi - at) & ~7ul);

		if (w->m->o.nworkers > 1)
			k->scan_mt(w, at, end);
		else
			k->scan(w, at, end);
	}
}

static void scan_piece(struct mark_worker *w, const struct gc_range *r)
{
	if (!w->m->o.unaligned && rootset_is_code(w->m->v->roots, r->lo))
		scan_code(w, r->lo, r->hi);
	else
		for (uintptr_t p = r->lo; p < r->hi; p += MARK_CHUNK)
			mark_scan_resident(w, p, MIN(p + MARK_CHUNK, r->hi));
}

void mark_scan_mapping(struct mark_worker *w, uint32_t block)
{
	const struct heapview *v = w->m->v;
	uint64_t *head = &v->word[block];
	const struct root_mapping *map = &v->map[*head >> HV_HEAD_PAGE];
	const struct gc_range *piece = v->roots->pieces.v;

	head[2] |= 1; /* its scan bit: a mapping is queued once */
	for (uint32_t i = map->first; i < map->first + map->npieces; i++)
		scan_piece(w, &piece[i]);
}
