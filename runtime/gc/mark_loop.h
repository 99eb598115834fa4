/* SPDX-License-Identifier: MIT */
/*
 * The marker's inner loops, compiled once for each kind of CPU. The includer
 * says how a stretch of memory is filtered:
 *
 *	static unsigned gather(struct filter f, uintptr_t p, size_t bytes,
 *		uint64_t *out, unsigned n);
 *
 * appends to out[n] what is left of each word in [p, p + bytes) after & mask
 * and - lo, if that is below range, and returns the new n; it may write seven
 * words more.
 *
 *	static unsigned gather_look(struct filter f, uintptr_t p, size_t bytes,
 *		uint64_t *out, unsigned n, bool *between);
 *
 * also sets *between if a word that lies between those, four bytes off, may be
 * left whose upper half is in [p, p + bytes). And
 *
 *	static bool skim(struct filter f, uintptr_t p);
 *
 * says whether any word at a multiple of four may be left whose upper half is
 * in [p, p + MARK_STRIDE), and asks for what lies MARK_AHEAD further on. It
 * looks at upper halves only: so one look is enough for words at multiples of
 * eight and between them. Then it defines wipe() and MARK_KERNEL and includes
 * this file.
 *
 *	queue of spans -> unscanned objects -> ring -> words -> candidates
 *	   ^                 prefetch the object -^               |  64 at a
 *	   |                                                      |  time
 *	   +--- mark bit was 0? span not queued? --- prefetch mark line
 *
 * None of the arrows on the way branches on data. In a pointer graph "is it a
 * pointer" and "was it marked" are coin tosses, and a wrong guess costs more
 * than the work: with a branch in each, and the same memory traffic, marking
 * takes two to three times as long. So candidates are compressed into a buffer
 * and pushes are stores whose index moves on or not.
 *
 * A chain of single pointers is the other way round: there, guessing is all
 * that keeps the next miss from waiting for the last. When nothing is in
 * flight but a few candidates, chase() handles them with branches.
 *
 * Nor are long objects coin tosses: arrays of numbers have no pointers for
 * pages, and tables nothing but. There one branch for 512 bytes is predicted,
 * and memory is all that the loop waits for.
 */
#include "gc/letgo.h"
#include "gc/mark_kernel.h"

enum {
	AHEAD = 16,	    /* objects that are being prefetched */
	LINE = 64,	    /* bytes */
	PREFETCH_MAX = 512, /* bytes of an object; hardware sees to the rest */
	CHASE = 4,	    /* candidates that are not worth a batch */
	SHARE_MIN = 128,    /* blocks in a queue that others may have some of */
};

/* The worker's state, in registers as far as they go. */
struct loop {
	const uint64_t *page;
	uint64_t *word;
	const uint32_t *magic;
	uint32_t *queue;
	size_t head, tail, qmask;
	uint64_t *cand;
	unsigned n;
	struct filter near;
};

static ALWAYS_INLINE struct loop loop_begin(struct mark_worker *w)
{
	const struct marker *m = w->m;
	const struct heapview *v = m->v;

	return (struct loop){.page = v->page,
		.word = v->word,
		.magic = v->magic,
		.queue = w->queue,
		.head = w->head,
		.tail = w->tail,
		.qmask = m->queue_mask,
		.cand = w->cand,
		.n = w->n,
		.near = {m->word_mask, v->base, hv_range(v)}};
}

static ALWAYS_INLINE void loop_end(const struct loop *l, struct mark_worker *w)
{
	w->head = l->head;
	w->tail = l->tail;
	w->n = l->n;
}

/* Where the mark bit of a candidate is. */
static ALWAYS_INLINE uint64_t locate(
	const struct loop *l, uint64_t off, uint32_t *block)
{
	uint64_t e = l->page[off >> PAGE_SHIFT];
	uint64_t at = off % PAGE_SIZE + ((e & HV_PAGEOFF) << PAGE_SHIFT);
	uint64_t cls = (uint32_t)e >> HV_CLASS_SHIFT;

	*block = (uint32_t)(e >> HV_BLOCK_SHIFT);
	return ((uint64_t)(*block + 1) << 6) + (at * l->magic[cls] >> 32);
}

/* Set the mark bit; 1 if it was 0. */
static ALWAYS_INLINE uint64_t set_mark(uint64_t *word, unsigned bit, bool mt)
{
	uint64_t old = load_relaxed(word);

	if (mt) {
		if (old >> bit & 1)
			return 0;
		/* seq_cst: ordered before the look at HV_QUEUED, see pop(). */
		old = __atomic_fetch_or(
			word, (uint64_t)1 << bit, __ATOMIC_SEQ_CST);
	} else {
		*word = old | (uint64_t)1 << bit;
	}
	return ~old >> bit & 1;
}

static ALWAYS_INLINE void push(
	struct loop *l, uint32_t block, uint64_t fresh, bool mt)
{
	uint64_t *head = &l->word[block];
	uint64_t old;

	if (mt) {
		if (!fresh)
			return;
		/* seq_cst: see pop(). */
		old = __atomic_fetch_or(head, HV_QUEUED, __ATOMIC_SEQ_CST);
	} else {
		old = *head;
		*head = old | fresh;
	}
	l->queue[l->tail & l->qmask] = block;
	l->tail += fresh & ~old;
}

/* All candidates: mark them and queue their spans. */
RAW_MEMORY static ALWAYS_INLINE void flush(struct loop *l, bool mt)
{
	uint64_t bit[MARK_CANDS];
	uint32_t block[MARK_CANDS];

	for (unsigned k = 0; k < l->n; k++) {
		bit[k] = locate(l, l->cand[k], &block[k]);
		__builtin_prefetch(&l->word[bit[k] / 64], 1);
	}
	for (unsigned k = 0; k < l->n; k++) {
		uint64_t fresh =
			set_mark(&l->word[bit[k] / 64], bit[k] % 64, mt);

		push(l, block[k], fresh, mt);
	}
	l->n = 0;
}

/* Words of a stretch that may lead to a mapping. */
RAW_MEMORY static ALWAYS_INLINE void gather_far(
	struct loop *l, struct mark_worker *w, uintptr_t lo, size_t bytes,
	bool *between)
{
	const struct marker *m = w->m;
	struct filter far = {m->word_mask, m->map_lo, m->map_hi - m->map_lo};

	w->nfar = gather_look(far, lo, bytes, w->far, w->nfar, between);
	if (w->nfar >= MARK_BATCH) {
		loop_end(l, w);
		mark_far(w);
		l->tail = w->tail;
	}
}

/*
 * The words whose upper half lies in one stride of a stretch that begins at
 * first; those at odd addresses begin there.
 */
RAW_MEMORY static ALWAYS_INLINE void gather_stride(struct loop *l,
	struct mark_worker *w, uintptr_t lo, uintptr_t first, bool far, bool mt)
{
	unsigned step = w->m->step;

	for (unsigned i = 0; i < 8; i += step) {
		bool half = step == 4 && i == 4, between = false;
		uintptr_t at = half && lo > first ? lo - 4 : lo + i;
		size_t bytes = MARK_STRIDE - (half && lo == first ? 8 : 0);

		if (far) {
			gather_far(l, w, at, bytes, &between);
			continue;
		}
		l->n = gather(l->near, at, bytes, l->cand, l->n);
		if (l->n >= MARK_BATCH)
			flush(l, mt);
	}
}

/*
 * All but the end of a long stretch. Returns where that begins, for words that
 * none of it has looked at yet.
 */
RAW_MEMORY static ALWAYS_INLINE uintptr_t scan_run(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi, bool mt)
{
	struct loop l = loop_begin(w);
	const struct marker *m = w->m;
	struct filter far = {m->word_mask, m->map_lo, m->map_hi - m->map_lo};
	uintptr_t first = lo;
	bool all = m->step < 4;

	for (; hi - lo > MARK_AHEAD; lo += MARK_STRIDE) {
		if (skim(l.near, lo) || all)
			gather_stride(&l, w, lo, first, false, mt);
		if (unlikely(load_relaxed(&m->map_left)) &&
			(all || skim(far, lo)))
			gather_stride(&l, w, lo, first, true, mt);
	}
	loop_end(&l, w);
	return lo - 8;
}

/* Calls, to leave the loops over small objects their registers. */
RAW_MEMORY static NOINLINE uintptr_t run_one(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	return scan_run(w, lo, hi, false);
}

RAW_MEMORY static NOINLINE uintptr_t run_many(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	return scan_run(w, lo, hi, true);
}

/* Where a word may lead. */
enum { NEAR = 1, FAR = 2 };

/*
 * Filter one stretch of words; flush what comes together. Of what is asked for,
 * returns what words between these may lead to.
 */
RAW_MEMORY static ALWAYS_INLINE unsigned scan_words(struct loop *l,
	struct mark_worker *w, uintptr_t lo, uintptr_t hi, unsigned what,
	bool mt)
{
	bool near = false, far = false;

	while (lo < hi) {
		size_t bytes = MIN(hi - lo, (uintptr_t)MARK_STRIDE);

		if (likely(what & NEAR))
			l->n = gather_look(
				l->near, lo, bytes, l->cand, l->n, &near);
		if (unlikely(what & FAR))
			gather_far(l, w, lo, bytes, &far);
		if (l->n >= MARK_BATCH)
			flush(l, mt);
		lo += bytes;
	}
	return (near ? NEAR : 0u) | (far ? FAR : 0u);
}

/* The words of [lo, hi) that are not at multiples of eight from lo on. */
RAW_MEMORY static ALWAYS_INLINE void scan_between(struct mark_worker *w,
	uintptr_t lo, uintptr_t hi, unsigned what, bool mt)
{
	struct loop l = loop_begin(w);
	unsigned step = w->m->step;

	for (unsigned i = step; i < 8 && lo + i + 8 <= hi; i += step)
		scan_words(&l, w, lo + i, lo + i + ((hi - lo - i) & ~7ul), what,
			mt);
	loop_end(&l, w);
}

RAW_MEMORY static NOINLINE void between_one(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi, unsigned what)
{
	scan_between(w, lo, hi, what, false);
}

RAW_MEMORY static NOINLINE void between_many(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi, unsigned what)
{
	scan_between(w, lo, hi, what, true);
}

static ALWAYS_INLINE void scan_object(struct loop *l, struct mark_worker *w,
	uintptr_t lo, uintptr_t hi, bool mt)
{
	unsigned what = NEAR, between;
	uintptr_t end;

	if (unlikely(hi - lo > MARK_AHEAD)) {
		loop_end(l, w);
		lo = mt ? run_many(w, lo, hi) : run_one(w, lo, hi);
		l->tail = w->tail;
		l->n = w->n;
	}
	if (unlikely(load_relaxed(&w->m->map_left)))
		what |= FAR;
	end = lo + ((hi - lo) & ~7ul);
	between = scan_words(l, w, lo, end, what, mt);
	/* An upper half behind them was not looked at. */
	if (unlikely(w->m->step < 4 || hi - end >= 4))
		between = what;
	if (likely(!between) || w->m->step == 8)
		return;
	loop_end(l, w);
	if (mt)
		between_many(w, lo, hi, between);
	else
		between_one(w, lo, hi, between);
	l->tail = w->tail;
	l->n = w->n;
}

/* Objects of the block at the head of the queue that are to be scanned. */
struct walk {
	const uint64_t *mark;
	uint64_t *scan;
	unsigned left; /* words to come */
	uint64_t todo; /* bits of the current one */
	uintptr_t base, size;
};

static ALWAYS_INLINE uint64_t pop_head(struct loop *l, bool mt)
{
	uint64_t *head = &l->word[l->queue[l->head++ & l->qmask]];

	/*
	 * seq_cst: who marks an object sets its bit first and then looks at
	 * HV_QUEUED; here HV_QUEUED is cleared first and then the bits are
	 * read. One of the two sees the other.
	 */
	if (mt)
		return __atomic_fetch_and(
			head, ~(uint64_t)HV_QUEUED, __ATOMIC_SEQ_CST);
	return *head &= ~(uint64_t)HV_QUEUED;
}

/* One piece of a large object; the rest goes back to the queue. */
static ALWAYS_INLINE bool take_piece(struct loop *l, struct mark_worker *w,
	uint32_t block, bool mt, uintptr_t *lo, uintptr_t *hi)
{
	struct hv_block b;
	uint64_t *progress = &l->word[block + HV_PROGRESS], at;
	size_t overlap = w->m->step < 8 ? 7 : 0;

	heapview_block(w->m->v, block, &b);
	b.scan[0] |= 1;
	at = mt ? add_relaxed(progress, MARK_CHUNK) : *progress;
	if (!mt)
		*progress += MARK_CHUNK;
	if (at >= b.size)
		return false;
	*lo = b.base + at;
	*hi = b.base + MIN(at + MARK_CHUNK + overlap, b.size);
	if (at + MARK_CHUNK < b.size)
		push(l, block, 1, mt);
	return true;
}

RAW_MEMORY static ALWAYS_INLINE void scan_large(
	struct loop *l, struct mark_worker *w, uint32_t block, bool mt)
{
	uintptr_t lo, hi, end;

	if (hv_head_class(l->word[block]) == HV_MAPPING) {
		loop_end(l, w);
		mark_scan_mapping(w, block);
		l->head = w->head;
		l->tail = w->tail;
		l->n = w->n;
		return;
	}
	if (!take_piece(l, w, block, mt, &lo, &end))
		return;
	if (w->m->o.gone && letgo_covers(w->m->o.gone, lo, end))
		return;
	for (hi = end; lo < end; lo = hi, hi = end) {
		if (!mark_resident(w->m, &lo, &hi))
			return;
		scan_object(l, w, lo, hi, mt);
	}
}

/* Start on the next block of small objects; false: none is queued. */
RAW_MEMORY static ALWAYS_INLINE bool walk_next(
	struct walk *k, struct loop *l, struct mark_worker *w, bool mt)
{
	const struct heapview *v = w->m->v;

	while (l->head != l->tail) {
		uint32_t block = l->queue[l->head & l->qmask];
		uint64_t head = pop_head(l, mt);
		unsigned cls = hv_head_class(head);

		if (unlikely(cls >= HV_LARGE)) {
			scan_large(l, w, block, mt);
			continue;
		}
		k->left = v->mark_words[cls];
		k->mark = &l->word[block + 1];
		k->scan = &l->word[block + 1 + k->left];
		k->size = v->size[cls];
		k->base = v->base + (head >> HV_HEAD_PAGE << PAGE_SHIFT) -
			  64 * k->size;
		return true;
	}
	return false;
}

/* The next object to scan; 0: the queue is empty. */
RAW_MEMORY static ALWAYS_INLINE uintptr_t walk_object(
	struct walk *k, struct loop *l, struct mark_worker *w, bool mt)
{
	uintptr_t p;

	while (!k->todo) {
		uint64_t old;

		if (!k->left && !walk_next(k, l, w, mt))
			return 0;
		k->left--;
		k->base += 64 * k->size;
		old = load_relaxed(k->scan);
		k->todo = load_relaxed(k->mark) & ~old;
		/* relaxed: which worker scans an object, not what is in it. */
		if (mt && k->todo)
			k->todo &= ~or_relaxed(k->scan, k->todo);
		else if (!mt)
			*k->scan = old | k->todo;
		k->mark++;
		k->scan++;
	}
	p = k->base + (uintptr_t)__builtin_ctzll(k->todo) * k->size;
	k->todo &= k->todo - 1;
	return p;
}

/*
 * A few candidates and nothing else in flight: follow them one by one, with
 * branches, and words in the order in which they lie. Returns when there are
 * none left, enough for a batch, or something was queued.
 */
RAW_MEMORY static ALWAYS_INLINE void chase(
	struct loop *l, struct mark_worker *w, bool mt)
{
	const struct heapview *v = w->m->v;
	unsigned step = w->m->step;

	while (l->n > 0 && l->n <= CHASE) {
		uint64_t off = l->cand[--l->n], bit, *mark;
		unsigned cls, slot;
		uintptr_t p, end;
		uint32_t block;

		bit = locate(l, off, &block);
		mark = &l->word[bit / 64];
		if (load_relaxed(mark) >> bit % 64 & 1 ||
			!set_mark(mark, bit % 64, mt))
			continue;
		cls = hv_head_class(l->word[block]);
		if (cls >= HV_LARGE || v->size[cls] > MARK_STRIDE) {
			push(l, block, 1, mt);
			return;
		}
		/* Another worker may have seen the mark: it scans too. */
		if (mt)
			or_relaxed(&mark[v->mark_words[cls]],
				(uint64_t)1 << bit % 64);
		else
			mark[v->mark_words[cls]] |= (uint64_t)1 << bit % 64;
		slot = (unsigned)(bit - ((uint64_t)(block + 1) << 6));
		p = v->base + (l->word[block] >> HV_HEAD_PAGE << PAGE_SHIFT) +
		    (uintptr_t)slot * v->size[cls];
		end = p + v->size[cls];
		/* There is room for the words and halves of one object. */
		if (unlikely(step < 4 || load_relaxed(&w->m->map_left))) {
			scan_object(l, w, p, end, mt);
			continue;
		}
		for (; p + 8 <= end; p += step) {
			uint64_t word;

			__builtin_memcpy(&word, (const void *)p, 8);
			word = (word & l->near.mask) - l->near.lo;
			if (word < l->near.range)
				l->cand[l->n++] = word;
		}
	}
}

RAW_MEMORY static ALWAYS_INLINE void drain_loop(struct mark_worker *w, bool mt)
{
	struct loop l = loop_begin(w);
	struct walk k = {0};
	struct {
		uintptr_t p;
		size_t size;
	} ring[AHEAD];
	unsigned first = 0, count = 0;

	for (;;) {
		while (count < AHEAD) {
			uintptr_t p = walk_object(&k, &l, w, mt);
			unsigned at = (first + count) % AHEAD;

			if (!p)
				break;
			for (size_t i = 0; i < k.size && i < PREFETCH_MAX;
				i += LINE)
				__builtin_prefetch((void *)(p + i));
			ring[at].p = p;
			ring[at].size = k.size;
			count++;
		}
		if (count > 0) {
			scan_object(&l, w, ring[first].p,
				ring[first].p + ring[first].size, mt);
			first = (first + 1) % AHEAD;
			count--;
		} else if (l.n > CHASE) {
			flush(&l, mt);
		} else if (l.n > 0) {
			chase(&l, w, mt);
		} else if (w->nfar > 0) {
			loop_end(&l, w);
			mark_far(w);
			l.tail = w->tail;
		} else {
			break;
		}
		if (mt && unlikely(load_relaxed(&w->m->nidle)) &&
			l.tail - l.head > SHARE_MIN) {
			loop_end(&l, w);
			mark_share(w);
			l.head = w->head;
		}
	}
	loop_end(&l, w);
}

RAW_MEMORY static void scan_one(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	struct loop l = loop_begin(w);

	scan_object(&l, w, lo, hi, false);
	flush(&l, false);
	loop_end(&l, w);
}

RAW_MEMORY static void scan_many(
	struct mark_worker *w, uintptr_t lo, uintptr_t hi)
{
	struct loop l = loop_begin(w);

	scan_object(&l, w, lo, hi, true);
	flush(&l, true);
	loop_end(&l, w);
}

RAW_MEMORY static bool is_clear(struct filter f, uintptr_t lo, uintptr_t hi)
{
	for (; lo < hi; lo += MARK_STRIDE)
		if (skim(f, lo))
			return false;
	return true;
}

RAW_MEMORY static void drain_one(struct mark_worker *w)
{
	drain_loop(w, false);
}

RAW_MEMORY static void drain_many(struct mark_worker *w)
{
	drain_loop(w, true);
}

const struct mark_kernel MARK_KERNEL = {
	MARK_NAME, is_clear, scan_one, drain_one, scan_many, drain_many, wipe};
