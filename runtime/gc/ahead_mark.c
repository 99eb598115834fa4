/* SPDX-License-Identifier: MIT */
/*
 * ahead_mark: reading the memory of a program that runs.
 *
 *	watch the heap, an arena at a time
 *	words of the roots; then, until nothing is left:
 *	  stretch    a piece of a root, a mapping, a large object
 *	  block      the objects of a span that something leads to
 *	  far        addresses that may be in mappings
 *	what was read and written since: watch it again, read it again
 *
 * Each is a step of some microseconds to a few milliseconds, so that the
 * helper, which serves sockets too, can take them in between. Objects are copied
 * into a buffer and moved together, and the marker's loop is run on that as if
 * it were one large object; what it leads to is queued as always.
 *
 * Further rounds make the second stop shorter, while they still gain something:
 * a program that writes its whole heap again and again gains nothing by them.
 */
#include "gc/ahead.h"
#include "gc/jobstack.h"
#include "gc/mark_kernel.h"
#include "os/clock.h"

#include <string.h>
#include <time.h>

enum {
	STRETCH = 4 << 20, /* bytes between looks at the clock */
	ROUNDS = 3,	   /* at most */
	WINDOW = 16 << 10, /* bytes of a span that are copied at once */
};

/* -------- reading -------- */

static void scan(struct ahead *a, size_t bytes, bool code)
{
	struct mark_worker *w = &a->m.worker[0];
	uintptr_t lo = (uintptr_t)a->buf, hi = lo + (bytes & ~(size_t)7);

	if (!code || a->o.mark.unaligned) {
		a->m.kernel->scan(w, lo, hi);
		return;
	}
	for (unsigned i = 0; i < 8 && lo + i + 8 <= lo + bytes; i++)
		a->m.kernel->scan(
			w, lo + i, lo + i + ((bytes - i) & ~(size_t)7));
}

struct reading {
	struct ahead *a;
	uintptr_t lo, hi;
	bool failed;
};

/* The part of [lo, hi), which has memory, that is asked for. */
static void read_run(void *arg, uintptr_t lo, uintptr_t hi)
{
	struct reading *r = arg;
	struct ahead *a = r->a;
	bool code = a->now.code;
	/* Of a word that begins here and ends behind. */
	size_t tail = code || a->m.step < 8 ? 8 : 0, n, got;

	lo = MAX(lo, r->lo);
	for (hi = MIN(hi, r->hi); lo < hi; lo += n) {
		n = MIN(hi - lo, (size_t)AHEAD_BUF);
		got = writetrack_read(
			a->buf, lo, MIN(n + tail, a->now.hi - lo));
		scan(a, got, code);
		if (got >= n)
			continue;
		r->failed = true;
		n = ALIGN_DOWN(lo + got, (size_t)OS_PAGE) + OS_PAGE - lo;
	}
}

static void scan_stretch(struct ahead *a)
{
	struct ahead_stretch *s = &a->now;
	struct reading r = {a, s->lo, MIN(s->lo + STRETCH, s->hi), false};

	if (!writetrack_each(&a->track, WRITETRACK_MEMORY,
		    ALIGN_DOWN(r.lo, (size_t)OS_PAGE),
		    ALIGN_UP(r.hi, (size_t)OS_PAGE), read_run, &r))
		r.failed = true;
	s->lo = r.hi;
	/* I2: not from end to end. */
	if (r.failed && s->block)
		a->v.word[s->block + 2] &= ~(uint64_t)1;
}

/* A part of a span: slots from first on, copied. */
struct part {
	unsigned first;
	size_t wanted, bytes; /* fewer where something can't be read */
	bool cut;	      /* so it is left to the second stop */
};

/* Move the objects of bits that are in the part into one piece; its length. */
static size_t pack(struct ahead *a, struct part *c, uint64_t *fresh,
	uint64_t *scan_bits, size_t size)
{
	char *to = a->buf, *from = a->buf + AHEAD_BUF;

	for (unsigned i = 0; i < HV_MAX_WORDS; i++)
		for (uint64_t b = fresh[i]; b; b &= b - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(b);
			size_t off = (i * 64ul + bit - c->first) * size;

			if (i * 64 + bit < c->first || off + size > c->bytes) {
				scan_bits[i] &= ~((uint64_t)1 << bit);
				continue;
			}
			memcpy(to, from + off, size);
			to += size;
		}
	/* The first one is always wanted. */
	c->cut = to == a->buf;
	return (size_t)(to - a->buf);
}

/* Slots that something leads to and that are not read yet. */
static bool take(uint64_t *mark, unsigned n, uint64_t *fresh, unsigned *first)
{
	uint64_t *scan_bits = mark + n;

	*first = UINT32_MAX;
	for (unsigned i = 0; i < n; i++) {
		fresh[i] = mark[i] & ~scan_bits[i];
		scan_bits[i] |= fresh[i];
		if (!fresh[i])
			continue;
		*first = MIN(
			*first, i * 64 + (unsigned)__builtin_ctzll(fresh[i]));
	}
	return *first != UINT32_MAX;
}

/* Around slot k, which is in it from end to end. */
static void read_part(struct ahead *a, struct part *c, unsigned k,
	uintptr_t base, uintptr_t end, size_t size)
{
	size_t lo = ALIGN_DOWN(k * size, (size_t)WINDOW);
	uintptr_t at;

	c->first = (unsigned)(lo / size);
	at = base + c->first * size;
	c->wanted =
		MIN(end - at, MAX((size_t)WINDOW, (k + 1) * size - lo) + size);
	c->bytes = writetrack_read(a->buf + AHEAD_BUF, at, c->wanted);
}

/*
 * More is copied than is asked for, so that lists that stay close by are
 * followed without a system call for each of their objects.
 */
static void scan_small(struct ahead *a, uint32_t block, unsigned cls)
{
	struct heapview *v = &a->v;
	unsigned n = v->mark_words[cls], first;
	uint64_t *mark = &v->word[block + 1];
	uint64_t fresh[HV_MAX_WORDS] = {0};
	uintptr_t base =
		v->base + (v->word[block] >> HV_HEAD_PAGE << PAGE_SHIFT);
	uintptr_t end = ahead_span_end(v, block);
	size_t size = v->size[cls];
	struct part c = {0, 0, 0, false};

	while (!c.cut && take(mark, n, fresh, &first)) {
		if (first < c.first || (first + 1 - c.first) * size > c.bytes)
			read_part(a, &c, first, base, end, size);
		scan(a, pack(a, &c, fresh, mark + n, size), false);
	}
}

/* The next block that something leads to. */
static void scan_block(struct ahead *a)
{
	struct heapview *v = &a->v;
	struct mark_worker *w = &a->m.worker[0];
	uint32_t block = w->queue[w->head++ & a->m.queue_mask];
	uint64_t head = v->word[block] &= ~(uint64_t)HV_QUEUED;
	uint64_t *scan_bits = &v->word[block + 2];
	unsigned cls = hv_head_class(head);
	uintptr_t base = v->base + (head >> HV_HEAD_PAGE << PAGE_SHIFT);

	if (cls < HV_LARGE) {
		scan_small(a, block, cls);
		return;
	}
	if (*scan_bits & 1)
		return;
	*scan_bits |= 1;
	if (cls == HV_MAPPING) {
		const struct root_mapping *map = &v->map[head >> HV_HEAD_PAGE];

		a->piece = map->first;
		a->piece_end = map->first + map->npieces;
	} else {
		a->now = (struct ahead_stretch){base,
			base + v->word[block + HV_PROGRESS], block, false};
	}
}

static void next_piece(struct ahead *a)
{
	const struct gc_range *r = a->roots.pieces.v;

	r += a->piece++;
	a->now = (struct ahead_stretch){
		r->lo, r->hi, 0, rootset_is_code(&a->roots, r->lo)};
}

static void next_root(struct ahead *a)
{
	const struct root_range *r = rootset_ranges(&a->roots) + a->root++;

	if (a->o.root_kinds >> r->kind & 1)
		a->now = (struct ahead_stretch){r->lo, r->hi, 0, false};
}

static void add_words(struct ahead *a)
{
	const struct root_word *w = rootset_words(&a->roots);
	struct hv_slot s;

	a->added = true;
	for (size_t i = 0; i < a->roots.words.n; i++)
		if (a->o.root_kinds >> w[i].kind & 1 &&
			heapview_find(&a->v, w[i].word & a->m.word_mask, &s))
			marker_add(&a->m, s);
	for (size_t i = 0; a->o.mappings_live && i < a->v.nmaps; i++)
		marker_add(&a->m, heapview_map_slot(&a->v, i));
}

/* -------- what was written meanwhile -------- */

static void same(void *arg, uintptr_t lo, uintptr_t hi)
{
	struct ahead *a = arg;
	size_t i = (lo - a->v.base) / OS_PAGE, end = (hi - a->v.base) / OS_PAGE;

	for (; i < end; i++)
		a->written[i / 64] &= ~((uint64_t)1 << i % 64);
}

bool ahead_ask(struct ahead *a)
{
	memset(a->written, 0xff, a->written_bytes);
	return writetrack_each(
		&a->track, WRITETRACK_SAME, a->v.base, a->watch_end, same, a);
}

/* Bits of slots that were objects, were read, and have been written since. */
static uint64_t stale(
	const struct ahead *a, size_t at, unsigned cls, unsigned i)
{
	const struct heapview *v = &a->v;
	unsigned n = v->mark_words[cls];
	const uint64_t *w = &v->word[at + 1 + i];
	uint64_t bits = w[0] & w[n] & ~a->was[at + 1 + n + i];
	uint64_t old = 0;
	size_t size = v->size[cls];
	uintptr_t base = v->base + (v->word[at] >> HV_HEAD_PAGE << PAGE_SHIFT) +
			 i * 64 * size;

	if (!bits || !ahead_written(a, base, base + 64 * size))
		return 0;
	for (; bits; bits &= bits - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(bits);

		if (ahead_written(
			    a, base + bit * size, base + (bit + 1) * size))
			old |= (uint64_t)1 << bit;
	}
	return old;
}

/* Objects that are to be read again: once more watched, then queued. */
static void read_again(
	struct ahead *a, size_t at, unsigned cls, const uint64_t *old)
{
	struct heapview *v = &a->v;
	unsigned n = v->mark_words[cls];
	uintptr_t lo = v->base + (v->word[at] >> HV_HEAD_PAGE << PAGE_SHIFT);
	uintptr_t hi = ahead_span_end(v, (uint32_t)at);
	struct mark_worker *w = &a->m.worker[0];

	for (uintptr_t p = lo; p < hi; p += OS_PAGE)
		if (ahead_written(a, p, p + OS_PAGE))
			writetrack_again(&a->track, p, p + OS_PAGE);
	for (unsigned i = 0; i < n; i++)
		v->word[at + 1 + n + i] &= ~old[i];
	if (v->word[at] & HV_QUEUED)
		return;
	v->word[at] |= HV_QUEUED;
	w->queue[w->tail++ & a->m.queue_mask] = (uint32_t)at;
}

static uint64_t small_again(
	struct ahead *a, size_t at, unsigned cls, bool count)
{
	uint64_t old[HV_MAX_WORDS], all = 0, bytes = 0;

	for (unsigned i = 0; i < a->v.mark_words[cls]; i++) {
		old[i] = stale(a, at, cls, i);
		all |= old[i];
		bytes +=
			(uint64_t)__builtin_popcountll(old[i]) * a->v.size[cls];
	}
	if (all && !count)
		read_again(a, at, cls, old);
	return bytes;
}

/* A large object's written pages, one after the other; not all of it. */
static uint64_t large_again(struct ahead *a, size_t at, bool count)
{
	uint64_t *w = &a->v.word[at], bytes = 0;
	uintptr_t lo = a->v.base + (w[0] >> HV_HEAD_PAGE << PAGE_SHIFT);
	uintptr_t hi = lo + w[HV_PROGRESS];

	if (!(w[1] & w[2] & ~a->was[at + 2] & 1))
		return 0;
	for (uintptr_t p = lo, end; p < hi; p = end) {
		struct reading r = {a, p, p, false};

		end = p + OS_PAGE;
		if (!ahead_written(a, p, end))
			continue;
		while (end < hi && end - p < AHEAD_BUF &&
			ahead_written(a, end, end + OS_PAGE))
			end += OS_PAGE;
		bytes += end - p;
		if (count)
			continue;
		writetrack_again(&a->track, p, end);
		a->now = (struct ahead_stretch){
			MAX(lo + 8, p) - 8, hi, 0, false};
		r.lo = a->now.lo;
		r.hi = end;
		read_run(&r, r.lo, r.hi);
		if (r.failed)
			w[2] &= ~(uint64_t)1;
	}
	a->now = (struct ahead_stretch){0, 0, 0, false};
	return bytes;
}

/* Everything that was read and has been written since; how many bytes. */
static uint64_t again(struct ahead *a, bool count)
{
	const struct heapview *v = &a->v;
	uint64_t bytes = 0;

	for (size_t at = HV_FIRST; at < v->nwords;) {
		unsigned cls = hv_head_class(v->word[at]);

		if (cls == HV_LARGE)
			bytes += large_again(a, at, count);
		else if (cls < HV_LARGE)
			bytes += small_again(a, at, cls, count);
		at += hv_block_words(v, cls);
	}
	return bytes;
}

/* All is read. Has so much been written that it is worth another round? */
static bool another_round(struct ahead *a)
{
	uint64_t before = a->left;

	a->left = ahead_ask(a) ? again(a, true) : UINT64_MAX;
	if (a->left <= a->o.calm || a->left == UINT64_MAX ||
		a->round == ROUNDS ||
		(a->round > 0 && a->left > before / 4 * 3))
		return false;
	a->round++;
	again(a, false);
	return true;
}

/* -------- while the program runs -------- */

static void watch_more(struct ahead *a)
{
	uintptr_t end = MIN(a->watch + ARENA_SIZE, a->watch_end);

	a->watched |= writetrack_watch(&a->track, a->watch, end);
	a->watch = end;
	if (end == a->watch_end && !a->watched)
		a->error = "userfaultfd is refused for the heap";
}

/* One thing that is to be done; false: there is none. */
static bool step(struct ahead *a)
{
	struct mark_worker *w = &a->m.worker[0];

	if (a->watch < a->watch_end)
		watch_more(a);
	else if (a->error)
		return false;
	else if (!a->added)
		add_words(a);
	else if (a->now.lo < a->now.hi)
		scan_stretch(a);
	else if (a->piece < a->piece_end)
		next_piece(a);
	else if (a->root < a->roots.ranges.n)
		next_root(a);
	else if (w->head != w->tail)
		scan_block(a);
	else if (w->nfar > 0)
		mark_far(w);
	else
		return another_round(a);
	return true;
}

struct slice {
	struct ahead *a;
	int64_t until_ns;
};

static int mark(void *arg)
{
	enum { STEPS = 16 }; /* between looks at the clock */
	struct slice *s = arg;
	bool more = true;

	do
		for (unsigned i = 0; more && i < STEPS; i++)
			more = step(s->a);
	while (more && clock_mono_ns() < s->until_ns);
	return more;
}

bool ahead_mark(struct ahead *a, int64_t until_ns)
{
	struct slice s = {a, until_ns};
	int64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	bool more = jobstack_call(mark, &s);

	a->cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	return !more || a->error;
}
