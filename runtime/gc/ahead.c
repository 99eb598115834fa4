/* SPDX-License-Identifier: MIT */
/*
 * ahead: marking before the world stops.
 *
 *	stop    take stock: roots, spans                       (milliseconds)
 *	run     watch the heap for writes (os/writetrack.c)
 *	        mark, reading the memory of a program that goes on
 *	        again, what was written meanwhile; and once more
 *	stop    take stock anew; carry over what still holds;
 *	        mark the rest: all roots, all mappings, what was written
 *
 * It is what Boehm, Demers and Shenker called mostly parallel collection. The
 * verdict is that of the second stop, whose state is the only one that counts;
 * what was found before merely saves looking again. An object may be passed
 * over there ("black") if
 *
 *   A1  all of its words were read after its pages were watched, and none of
 *       these pages was written since: so they are what was read;
 *   A2  whatever lies at an address in one of these words is marked.
 *
 * A2 is where objects come and go. What a word led to when it was read was one
 * state of the heap; what lies there at the second stop may be another object,
 * newly allocated at an address that some word had all along. So this view of
 * the heap is not of objects but of slots, free ones too, and of pages without
 * a span (as slots of one page each), and of pages that the heap does not have
 * yet: each has a mark bit that says "some word leads here". At the second stop
 * the mark goes to whatever is there now. What was free is not read, so that it
 * keeps nothing alive: an object of today that was none before is marked when
 * something leads to it, and then read like any other.
 *
 * The memory is read with process_vm_readv(), which fails where the program has
 * just unmapped something. What could not be read is left to the second stop.
 *
 * Invariants:
 *   I1  a page is watched (again) before the objects on it are read (again);
 *   I2  a scan bit of v that was not set in was: the slot is an object that was
 *       read from end to end since then;
 *   I3  nothing here writes to the program's memory or takes a lock.
 *
 * ahead_mark.c reads and marks, ahead_carry.c begins the second stop.
 *
 * Locks: none. It all belongs to the owner of the cycle.
 *
 * Rejected: reading with plain loads, and a handler for SIGSEGV: handlers are
 * the program's. Rejected: to call everything live that was allocated
 * meanwhile. Simpler, but a program that allocates fast would have most of its
 * heap looked at in the second stop. Rejected: to watch mappings, too. They are
 * the program's own, which may have a userfaultfd for them.
 */
#include "gc/ahead.h"
#include "gc/guard.h"
#include "gc/jobstack.h"
#include "os/syscall.h"

#include <string.h>

enum { GHOSTS = PAGE_SIZE }; /* size of a slot that is a page */

/* -------- taking stock: the world is stopped -------- */

static unsigned ghost_class(void)
{
	unsigned c = 1;

	while (sizeclasses[c].size != GHOSTS)
		c++;
	return c;
}

/* Pages from p on without a span, at most max. */
static size_t ghost_run(const uint64_t *page, size_t p, size_t end, size_t max)
{
	size_t n = 0;

	while (n < max && p + n < end && page[p + n] == 0)
		n++;
	return n;
}

/* One block for each run of pages without a span; their number if !word. */
static size_t add_ghosts(struct heapview *v, const uint64_t *page, bool count)
{
	unsigned c = ghost_class();
	size_t max = sizeclasses[c].nelems, words = hv_block_words(v, c);
	size_t n = 0, run;

	for (size_t p = 0; p < v->npages; p += MAX(run, (size_t)1)) {
		uint64_t *w = v->word + v->nwords;

		run = ghost_run(page, p, v->npages, max);
		if (run == 0)
			continue;
		n++;
		if (count)
			continue;
		memset(w, 0xff, words * sizeof(*w));
		w[0] = (uint64_t)p << HV_HEAD_PAGE | (uint64_t)c
							     << HV_HEAD_CLASS;
		w[1] = ~(uint64_t)0 << run;
		for (size_t i = 0; i < run; i++)
			v->page[p + i] = (uint64_t)v->nwords << HV_BLOCK_SHIFT |
					 (uint64_t)c << HV_CLASS_SHIFT | i;
		v->nwords += words;
		v->nblocks++;
	}
	return n;
}

/*
 * A larger table of pages, and blocks for those without a span: behind the end
 * of the heap, too, as far as it may grow until the second stop.
 */
static bool widen(struct heapview *v)
{
	struct heapview old = *v;
	size_t more = v->npages / 2 + ARENA_PAGES;
	size_t nghosts;

	v->npages = MIN(v->npages + more, window.max_arenas * ARENA_PAGES);
	v->npages = MAX(v->npages, old.npages);
	v->page_bytes =
		ALIGN_UP((v->npages + 1) * sizeof(uint64_t), (size_t)OS_PAGE);
	v->page = sysmem_map(NULL, v->page_bytes, SYS_GC);
	if (!v->page) {
		*v = old;
		return false;
	}
	memcpy(v->page, old.page, old.npages * sizeof(uint64_t));
	nghosts = add_ghosts(v, v->page, true);
	v->word_bytes = ALIGN_UP(
		(v->nwords + nghosts * hv_block_words(v, ghost_class())) *
			sizeof(uint64_t),
		(size_t)OS_PAGE);
	v->word = sysmem_map(NULL, v->word_bytes, SYS_GC);
	if (!v->word || v->word_bytes >> 3 > UINT32_MAX) {
		heapview_free(v);
		*v = old;
		return false;
	}
	memcpy(v->word, old.word, v->nwords * sizeof(uint64_t));
	heapview_free(&old);
	return true;
}

/* Bits of word i for what there is to a span: slots, and the tail behind. */
static uint64_t places(unsigned cls, unsigned i)
{
	const struct sizeclass *c = &sizeclasses[cls];
	unsigned n = (c->npages * (unsigned)PAGE_SIZE + c->size - 1) / c->size;

	n -= MIN(i * 64, n);
	return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/*
 * Places instead of objects: no mark bit is set. The tail is one, too, for
 * another object may lie there later (A2).
 */
static void open_slots(struct heapview *v)
{
	for (size_t at = HV_FIRST; at < v->nwords;) {
		unsigned cls = hv_head_class(v->word[at]);
		uint64_t *mark = &v->word[at + 1];
		size_t page = v->word[at] >> HV_HEAD_PAGE;

		if (cls == HV_LARGE) {
			*mark &= ~(uint64_t)1;
			v->word[at + HV_PROGRESS] =
				mspan_bytes(arena_span(arena_addr(page)));
		} else if (cls < HV_LARGE) {
			for (unsigned i = 0; i < v->mark_words[cls]; i++)
				mark[i] &= ~places(cls, i);
		}
		at += hv_block_words(v, cls);
	}
}

static bool alloc_rest(struct ahead *a)
{
	const struct heapview *v = &a->v;

	a->written_bytes = ALIGN_UP(
		hv_range(v) / OS_PAGE / 8 + sizeof(uint64_t), (size_t)OS_PAGE);
	a->was = sysmem_map(NULL, v->word_bytes, SYS_GC);
	a->written = sysmem_map(NULL, a->written_bytes, SYS_GC);
	a->buf = sysmem_map(NULL, 2 * AHEAD_BUF, SYS_GC);
	return a->was && a->written && a->buf;
}

static const char *take_stock(struct ahead *a, const struct stw *w)
{
	struct heapview *v = &a->v;

	if (w && !roots_collect(&a->roots, w))
		return a->roots.error;
	if (!heapview_init(v, &a->roots))
		return "no memory for mark bits";
	open_slots(v);
	if (!widen(v))
		return "no memory for mark bits";
	add_ghosts(v, v->page, false);
	if (!alloc_rest(a) || !marker_init(&a->m, v, &a->o.mark))
		return "no memory to mark";
	/* A descriptor that the program would see. */
	if (a->m.pagemap >= 0)
		sys1(SYS_close, a->m.pagemap);
	a->m.pagemap = -1;
	memcpy(a->was, v->word, v->nwords * sizeof(uint64_t));
	a->watch = v->base;
	a->watch_end = MIN(window.next, v->base + hv_range(v));
	return NULL;
}

struct start {
	struct ahead *a;
	const struct stw *w;
	const char *why;
};

static int start(void *arg)
{
	struct start *s = arg;

	guard_begin(false);
	s->why = take_stock(s->a, s->w);
	guard_end();
	return 0;
}

enum writetrack_result ahead_open(struct ahead *a)
{
	enum writetrack_result r;

	memset(a, 0, sizeof(*a));
	r = writetrack_begin(&a->track);
	a->on = r == WRITETRACK_OK;
	return r;
}

const char *ahead_begin(struct ahead *a, struct rootset *rs,
	const struct stw *w, const struct ahead_options *o)
{
	struct start s = {a, w, NULL};

	a->o = *o;
	a->o.mark.nworkers = 1;
	a->roots = *rs;
	*rs = (struct rootset){0};
	jobstack_call(start, &s);
	if (s.why)
		ahead_end(a, false);
	return s.why;
}

void ahead_end(struct ahead *a, bool forked)
{
	if (!a->on)
		return;
	a->on = false;
	writetrack_end(&a->track, forked);
	if (a->m.worker)
		marker_free(&a->m);
	if (a->was)
		sysmem_unmap(a->was, a->v.word_bytes, SYS_GC);
	if (a->written)
		sysmem_unmap(a->written, a->written_bytes, SYS_GC);
	if (a->buf)
		sysmem_unmap(a->buf, 2 * AHEAD_BUF, SYS_GC);
	heapview_free(&a->v);
	roots_free(&a->roots);
}
