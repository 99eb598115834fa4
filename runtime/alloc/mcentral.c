/* SPDX-License-Identifier: MIT */
/*
 * mcentral: the shared shelf of one size class.
 *
 * Magazines are filled and emptied here in batches, so the lock is taken once
 * in tens of allocations. A span lies on the partial list while it has slots
 * worth a visit:
 *
 *	           refill takes the last slot
 *	 partial ------------------------------> unlisted
 *	  ^  |                                      |
 *	  |  | last object came back                | 1/8 of the slots are free
 *	  |  v                                      |
 *	  | mheap (one empty span is kept)          |
 *	  +-----------------------------------------+
 *
 * The 1/8 is hysteresis: without it a full span would be listed for each
 * single free and taken from for each single malloc, and random replacement
 * would visit another span every time (measured on a prototype: 73 ns a pair
 * instead of 4).
 *
 * Producers and consumers: where one thread only frees and another only takes,
 * sorting objects into spans and picking them out again is wasted work. A
 * thread that overflows twice without a miss hands over its objects as a batch,
 * and refills take batches first. Batches are few, and scavenge windows sort
 * them in, so that they pin no spans for long.
 *
 * Newly listed spans go to the front and have few free slots, so refills use
 * up nearly full spans first and the nearly empty ones at the tail drain.
 *
 * Invariants, walked by mcentral_check():
 *   C1  a span is listed if and only if nfree >= its threshold, except that a
 *       listed span stays until its last free slot is taken;
 *   C2  out == sum over the class's spans of nelems - nfree; nspans, npages
 *       and nslots are sums over them too;
 *   C3  at most one listed span is empty, none of a sampled class;
 *   C4  batched is the number of objects in batch[0..nbatches).
 *
 * Locks: c->lock (LOCK_MCENTRAL); mheap.lock is taken under it when a span is
 * got or given back. A magazine changes under the lock, so that after fork no
 * object is in two places or in none.
 */
#include "alloc/mcentral.h"
#include "alloc/arena.h"
#include "alloc/mheap.h"
#include "alloc/objinfo.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

struct mcentral mcentral[2][NSIZECLASS] = {[0 ... 1] = {
	[0 ... NSIZECLASS - 1] = {.lock = LOCK_INIT(LOCK_MCENTRAL)}}};

#define EACH_MCENTRAL(c)                                                       \
	for (struct mcentral *c = mcentral[0];                                 \
		c < mcentral[0] + 2 * NSIZECLASS; c++)

static unsigned class_of(const struct mcentral *c)
{
	return (unsigned)(c - mcentral[0]) % NSIZECLASS;
}

static bool is_sampled(const struct mcentral *c)
{
	return c >= mcentral[1];
}

static void unlist(struct mcentral *c, struct mspan *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		c->head = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		c->tail = s->prev;
	s->listed = false;
}

static void list_front(struct mcentral *c, struct mspan *s)
{
	s->prev = NULL;
	s->next = c->head;
	if (c->head)
		c->head->prev = s;
	else
		c->tail = s;
	c->head = s;
	s->listed = true;
}

/* A span joins (1) or leaves (-1) the class. */
static void count_span(struct mcentral *c, const struct mspan *s, uint64_t n)
{
	own_add(&c->nspans, n);
	own_add(&c->npages, n * s->npages);
	own_add(&c->nslots, n * s->nelems);
}

/*
 * Pages of the next span: a quarter of what the class has. Of 68 classes most
 * are used a little; each with a span of 64 objects they hold megabytes.
 */
static size_t span_pages(const struct mcentral *c)
{
	const struct sizeclass *k = &sizeclasses[class_of(c)];
	size_t n = c->npages / 4 / k->least * k->least;

	/* Few objects are ever in them: no room for a second one. */
	if (is_sampled(c))
		return (k->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
	if (n + k->least > k->npages)
		return k->npages;
	return MAX(n, (size_t)k->least);
}

/* A span with a free slot, from the list or new. Under c->lock. */
static struct mspan *next_span(struct mcentral *c)
{
	struct mspan *s = c->head;

	if (s)
		return s;
	s = mheap_alloc_small(class_of(c), span_pages(c), is_sampled(c));
	if (!s)
		return NULL;
	count_span(c, s, 1);
	c->nempty++;
	list_front(c, s);
	return s;
}

static void leaves_empty(struct mcentral *c, const struct mspan *s)
{
	if (s->nfree == s->nelems)
		c->nempty--;
}

/*
 * Take up to want slots from s into out[0], out[-1], ...: callers fill a
 * magazine from its future top downwards, so that the lowest address is popped
 * first.
 */
static size_t take(struct mspan *s, void **out, size_t want)
{
	size_t got = 0;

	for (unsigned w = 0; w < s->nwords && got < want; w++) {
		uint64_t bits = s->freebits[w];

		while (bits && got < want) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(bits);

			bits &= bits - 1;
			out[-(ptrdiff_t)got] = (void *)(s->base +
				(uintptr_t)i * s->elemsize_small);
			got++;
		}
		store_relaxed(&s->freebits[w], bits);
	}
	s->nfree -= (uint16_t)got;
	return got;
}

/* Under c->lock; the magazine is empty. */
static size_t take_batch(struct mcentral *c, struct mcache_rec *rec)
{
	struct batch *b = &c->batch[c->nbatches - 1];
	size_t room = (size_t)(rec->limit - rec->top);
	size_t n = MIN(b->n, room);

	b->n -= n;
	memcpy(rec->top + 1, b->obj + b->n, n * sizeof(void *));
	if (b->n == 0)
		c->nbatches--;
	own_add(&c->batched, -n);
	store_relaxed(&rec->top, rec->top + n);
	return n;
}

size_t mcentral_refill(unsigned sizeclass, struct mcache_rec *rec, size_t want)
{
	struct mcentral *c = &mcentral[0][sizeclass];
	void *batch[MAG_MAX], **end = batch + MAG_MAX;
	size_t got = 0;

	lock(&c->lock);
	if (c->nbatches) {
		got = take_batch(c, rec);
		unlock(&c->lock);
		return got;
	}
	while (got < want) {
		struct mspan *s = next_span(c);

		if (!s)
			break;
		leaves_empty(c, s);
		got += take(s, end - 1 - got, want - got);
		if (s->nfree == 0)
			unlist(c, s);
	}
	memcpy(rec->top + 1, end - got, got * sizeof(void *));
	own_add(&c->out, got);
	store_relaxed(&rec->top, rec->top + got);
	unlock(&c->lock);
	return got;
}

bool mcentral_found_late;

void mcentral_freed_before(const char *what, uintptr_t p, size_t bytes)
{
	if (!strcmp(what, "free"))
		fatal("double free of %p (%zu bytes)", (void *)p, bytes);
	fatal("%s of %p: freed before (%zu bytes)", what, (void *)p, bytes);
}

void mcentral_bad_pointer(const char *what, const struct mspan *s, uintptr_t p)
{
	uintptr_t obj = s->base;
	size_t off, size = mspan_elemsize(s);

	if (s->state == MSPAN_SMALL) {
		uint32_t i = mspan_index(s, p);

		if (i >= s->nelems)
			fatal("%s of %p: never allocated (unused end of a "
			      "span)",
				what, (void *)p);
		obj = s->base + (uintptr_t)i * s->elemsize_small;
		if (obj == p)
			mcentral_freed_before(what, p, s->elemsize_small);
		if (mspan_isfree(s, i))
			fatal("%s of %p: never allocated (inside a free slot)",
				what, (void *)p);
	}
	off = p - obj;
	objinfo_blame(s, p);
	if (mheap.harden)
		size = objinfo_size(s, objinfo_at(s, p));
	fatal("%s of %p: points %zu byte%s into the object of %zu bytes at %p",
		what, (void *)p, off, off == 1 ? "" : "s", size, (void *)obj);
}

static void never_allocated(uintptr_t p)
{
	mcentral_found_late = true;
	fatal("free of %p: never allocated", (void *)p);
}

/* Slot of p, which must be an object that is out. Under c->lock. */
static uint32_t slot_of(const struct mspan *s, uintptr_t p)
{
	uint32_t i = mspan_index(s, p);

	if (unlikely(s->base + (uintptr_t)i * s->elemsize_small != p ||
		    i >= s->nelems || mspan_isfree(s, i))) {
		mcentral_found_late = true;
		mcentral_bad_pointer("free", s, p);
	}
	return i;
}

/* n slots of s came back. Returns a span for mheap, or NULL. */
static struct mspan *came_back(struct mcentral *c, struct mspan *s)
{
	if (s->nfree == s->nelems) {
		if (c->nempty > 0 || is_sampled(c)) {
			if (s->listed)
				unlist(c, s);
			count_span(c, s, -1);
			return s;
		}
		c->nempty++;
	}
	if (!s->listed && s->nfree >= (s->nelems + 7) / 8)
		list_front(c, s);
	return NULL;
}

static void give_back(struct mcentral *c, struct mspan *s)
{
	struct mspan *empty = came_back(c, s);

	if (empty)
		mheap_free_span(empty);
}

/* Under c->lock. */
static void put_all(struct mcentral *c, void **objs, size_t n)
{
	struct mspan *s = NULL;

	for (size_t k = 0; k < n; k++) {
		uintptr_t p = (uintptr_t)objs[k];
		uint32_t i;

		if (!s || p - s->base >= mspan_bytes(s)) {
			if (s)
				give_back(c, s);
			s = arena_span(p);
			if (unlikely(!s || s->sizeclass != class_of(c)))
				never_allocated(p);
		}
		i = slot_of(s, p);
		store_relaxed(&s->freebits[i / 64],
			s->freebits[i / 64] | (uint64_t)1 << i % 64);
		s->nfree++;
	}
	if (s)
		give_back(c, s);
	own_add(&c->out, -n);
}

/* The n oldest objects of a magazine have gone elsewhere. */
static void drop_oldest(struct mcache_rec *rec, size_t n)
{
	size_t depth = (size_t)(rec->top - rec->base);

	memmove(rec->base + 1, rec->base + 1 + n, (depth - n) * sizeof(void *));
	store_relaxed(&rec->top, rec->top - n);
}

void mcentral_flush(unsigned sizeclass, struct mcache_rec *rec, size_t n)
{
	struct mcentral *c = &mcentral[0][sizeclass];

	lock(&c->lock);
	put_all(c, rec->base + 1, n);
	drop_oldest(rec, n);
	unlock(&c->lock);
}

#define BATCHES_BYTES                                                          \
	ALIGN_UP(MAX_BATCHES * sizeof(struct batch), (size_t)OS_PAGE)

/* Room for one more batch of n objects? Under c->lock. */
static bool batch_room(struct mcentral *c, size_t n)
{
	size_t bytes = (c->batched + n) * sizeclasses[class_of(c)].size;

	if (n > BATCH || c->nbatches == MAX_BATCHES ||
		bytes > MAX_BATCHED_BYTES)
		return false;
	if (!c->batch)
		c->batch = sysmem_map(NULL, BATCHES_BYTES, SYS_MCACHE);
	return c->batch != NULL;
}

void mcentral_hand_over(unsigned sizeclass, struct mcache_rec *rec, size_t n)
{
	struct mcentral *c = &mcentral[0][sizeclass];
	struct batch *b;

	lock(&c->lock);
	if (batch_room(c, n)) {
		b = &c->batch[c->nbatches++];
		b->n = n;
		memcpy(b->obj, rec->base + 1, n * sizeof(void *));
		own_add(&c->batched, n);
	} else {
		put_all(c, rec->base + 1, n);
	}
	drop_oldest(rec, n);
	unlock(&c->lock);
}

void mcentral_settle(void)
{
	EACH_MCENTRAL(c)
	{
		if (load_relaxed(&c->batched) == 0)
			continue;
		lock(&c->lock);
		for (; c->nbatches; c->nbatches--)
			put_all(c, c->batch[c->nbatches - 1].obj,
				c->batch[c->nbatches - 1].n);
		store_relaxed(&c->batched, 0);
		sysmem_release(c->batch, BATCHES_BYTES);
		unlock(&c->lock);
	}
}

void *mcentral_take_sampled(unsigned sizeclass, struct mspan **sp,
	uint32_t *index)
{
	struct mcentral *c = &mcentral[1][sizeclass];
	struct mspan *s;
	void *p = NULL;

	lock(&c->lock);
	s = next_span(c);
	if (s) {
		leaves_empty(c, s);
		take(s, &p, 1);
		if (s->nfree == 0)
			unlist(c, s);
		own_add(&c->out, 1);
		*sp = s;
		*index = mspan_index(s, (uintptr_t)p);
	}
	unlock(&c->lock);
	return p;
}

void mcentral_put(struct mspan *s, uintptr_t p)
{
	struct mcentral *c = &mcentral[s->sampled][s->sizeclass];
	void *obj = (void *)p;

	lock(&c->lock);
	put_all(c, &obj, 1);
	unlock(&c->lock);
}

void mcentral_lock_class(unsigned sizeclass)
{
	lock(&mcentral[0][sizeclass].lock);
}

void mcentral_unlock_class(unsigned sizeclass)
{
	unlock(&mcentral[0][sizeclass].lock);
}

size_t mcentral_put_bits(struct mspan *s, const uint64_t *bits)
{
	struct mcentral *c = &mcentral[0][s->sizeclass];
	size_t n = 0;

	for (unsigned w = 0; w < s->nwords; w++) {
		uint64_t free = s->freebits[w], more = bits[w] & ~free;

		store_relaxed(&s->freebits[w], free | more);
		n += (size_t)__builtin_popcountll(more);
	}
	if (n == 0)
		return 0;
	s->nfree += (uint16_t)n;
	give_back(c, s);
	own_add(&c->out, -n);
	return n;
}

void mcentral_lock_all(void)
{
	EACH_MCENTRAL(c)
		lock(&c->lock);
}

void mcentral_unlock_all(void)
{
	EACH_MCENTRAL(c)
		unlock(&c->lock);
}

void mcentral_reinit_locks(void)
{
	EACH_MCENTRAL(c)
		lock_reinit(&c->lock);
}

/* What the spans of a class add up to. */
struct sums {
	uint64_t nspans, npages, nslots, out, empty, listed;
};

static void check_span(const struct mspan *s, struct sums *sum)
{
	unsigned n = 0;

	for (unsigned w = 0; w < s->nwords; w++)
		n += (unsigned)__builtin_popcountll(s->freebits[w]);
	INVARIANT(n == s->nfree && n <= s->nelems);
	if (s->nelems % 64)
		INVARIANT(!(s->freebits[s->nwords - 1] >> s->nelems % 64));
	INVARIANT(s->listed ? s->nfree > 0 : s->nfree < (s->nelems + 7u) / 8);
	sum->nspans++;
	sum->npages += s->npages;
	sum->nslots += s->nelems;
	sum->out += s->nelems - s->nfree;
	sum->empty += s->nfree == s->nelems;
	sum->listed += s->listed;
}

static void check_class(const struct mcentral *c, const struct sums *sum)
{
	uint64_t listed = 0, batched = 0;

	for (const struct mspan *s = c->head; s; s = s->next, listed++) {
		INVARIANT(s->listed && s->sizeclass == class_of(c));
		INVARIANT(s->prev ? s->prev->next == s : c->head == s);
		INVARIANT(s->next || c->tail == s);
	}
	for (size_t k = 0; k < c->nbatches; k++)
		batched += c->batch[k].n;
	INVARIANT(batched == c->batched && listed == sum->listed);
	INVARIANT(sum->out == c->out && sum->nspans == c->nspans);
	INVARIANT(sum->npages == c->npages && sum->nslots == c->nslots);
	INVARIANT(sum->empty == c->nempty && c->nempty <= !is_sampled(c));
}

void mcentral_check(void)
{
	struct sums sums[2 * NSIZECLASS] = {0};

	mcentral_lock_all();
	for (size_t i = 0; i < window.narenas * ARENA_PAGES; i++) {
		struct mspan *s = arenas[i / ARENA_PAGES]->spans[i % ARENA_PAGES];

		if (s && s->state == MSPAN_SMALL && arena_page(s->base) == i)
			check_span(s, &sums[s->sampled * NSIZECLASS +
				s->sizeclass]);
	}
	EACH_MCENTRAL(c)
		check_class(c, &sums[c - mcentral[0]]);
	mcentral_unlock_all();
}
