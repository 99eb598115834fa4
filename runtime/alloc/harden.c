/* SPDX-License-Identifier: MIT */
/*
 * harden: GOSTAT_HARDEN=1, find every misuse of an object, at a price.
 *
 *	small   | object          | slack |   at least REDZONE bytes of 0xce
 *	large   guard | object        | slack | guard     pages without access
 *
 *	malloc --> object --free--> quarantine (0xdf, or no access) --> its span
 *	                                |  first in, first out          ^
 *	                                +--- fill looked at on leaving -+
 *
 * No magazine ever gets room, so every call takes the slow path and comes here:
 * the hit paths are as they always are. Every object is a "sampled" one: its
 * page has code 0, its requested size is known.
 *
 *	found		when			how
 *	double free	at the second free	state of the object; later free bit
 *	write past end	at free, realloc	slack; guard page at once
 *	write after	when leaving, or at	fill; large ones at once
 *	  free		  the end
 *	wrong size	at sized delete		remembered size
 *
 * Invariants:
 *   Q1  an object is in quarantine exactly when its state is FREED;
 *   Q2  count and held[] tell what lies between tail and head.
 *
 * Locks: ring.lock (LOCK_HARDEN), held for the ring and for states; filling
 * and looking happen outside it, on objects that are nobody else's.
 *
 * Rejected: a shadow memory as ASan's; it needs compiled code. Rejected: each
 * object on pages of its own (electric fence); no real program fits.
 */
#include "alloc/harden.h"
#include "alloc/arena.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "alloc/tick.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

enum {
	REDZONE = 8,	  /* bytes at least behind a small object */
	SLACK = 0xce,	  /* there */
	FILL = 0xdf,	  /* freed: as a pointer it is no address */
	FREED = 0xff,	  /* as objinfo.shift */
	RING = 1 << 16,	  /* objects in quarantine at most */
};

/* Bytes of small objects in quarantine; address space of large ones. */
#define SMALL_BUDGET (8 * MIB)
#define LARGE_BUDGET (256 * MIB)

struct held {
	uintptr_t p;
	size_t size; /* asked for */
};

static struct {
	struct lock lock;
	struct held *at;   /* RING of them; NULL: no memory, no quarantine */
	size_t head, tail; /* in: at[head % RING], out: at[tail % RING] */
	size_t small_bytes, large_bytes;
	uint64_t held[NREC];
	uint64_t huge, huge_bytes;
} ring = {.lock = LOCK_INIT(LOCK_HARDEN)};

/* First byte from p on, of n, that is not v; NULL: all are. */
static const unsigned char *differs(const void *p, size_t n, unsigned char v)
{
	const unsigned char *c = p;
	const uint64_t word = v * UINT64_C(0x0101010101010101);
	uint64_t w;

	while (n && ((uintptr_t)c & 7 || n < 8)) {
		if (*c != v)
			return c;
		c++;
		n--;
	}
	for (; n >= 8; c += 8, n -= 8) {
		memcpy(&w, c, 8);
		if (w != word)
			break;
	}
	for (; n; c++, n--)
		if (*c != v)
			return c;
	return NULL;
}

/* -- allocation ----------------------------------------------------------- */

static void *finish(struct mcache *mc, const struct unwind_regs *regs,
	struct mspan *s, uintptr_t p, size_t size, int shift)
{
	if (mheap.record_objects)
		shift = 0;
	objinfo_fill(mc, regs, s, p, size, shift);
	memset((char *)p + size, SLACK, mspan_elemsize(s) - size);
	return (void *)p;
}

static void *small(struct mcache *mc, const struct unwind_regs *regs,
	unsigned c, size_t size)
{
	int shift = tick_count(mc, c);
	struct mspan *s;
	uint32_t i;
	void *p = mcentral_take_sampled(c, &s, &i);

	if (!p) {
		tick_uncount(mc, c);
		return NULL;
	}
	return finish(mc, regs, s, (uintptr_t)p, size, shift);
}

static void *large(struct mcache *mc, const struct unwind_regs *regs,
	size_t align, size_t size)
{
	size_t npages = MAX((size + PAGE_SIZE - 1) >> PAGE_SHIFT, (size_t)1);
	unsigned r = npages <= MAX_RUN ? rec_of_run(npages) : 0;
	int shift = r ? tick_count(mc, r) : tick_huge(mc, size);
	struct mspan *s = mheap_alloc_guarded(
		npages, MAX(align >> PAGE_SHIFT, (size_t)1));

	if (!s) {
		if (r)
			tick_uncount(mc, r);
		return NULL;
	}
	return finish(mc, regs, s, s->base, size, shift);
}

void *harden_malloc(struct mcache *mc, const struct unwind_regs *regs,
	size_t align, size_t size)
{
	unsigned c;
	void *p;

	if (align > PTRDIFF_MAX / 2 || size > PTRDIFF_MAX - 2 * align - PAGE_SIZE)
		return NULL;
	c = sizeclass_for(align, size + REDZONE);
	do
		p = c < NSIZECLASS ? small(mc, regs, c, size)
				   : large(mc, regs, align, size);
	while (!p && harden_flush());
	return p;
}

/* -- leaving quarantine --------------------------------------------------- */

/* Where somebody has written to it; NULL: nobody has. */
static const void *written(const struct held *h)
{
	const struct mspan *s = arena_span(h->p);

	if (s->state == MSPAN_LARGE)
		return NULL; /* not even readable */
	return differs((void *)h->p, mspan_elemsize(s), FILL);
}

NORETURN static void use_after_free(const struct held *h, const void *at)
{
	objinfo_blame(arena_span(h->p), h->p);
	mcentral_found_late = true;
	fatal("use after free: write to %p, %zu bytes into the freed object of "
	      "%zu bytes at %p",
		at, (size_t)((uintptr_t)at - h->p), h->size, (void *)h->p);
}

/* Under the lock: +1 or -1 object in quarantine. */
static void count(const struct mspan *s, int n)
{
	size_t bytes = mspan_elemsize(s), npages = s->npages;
	bool is_small = s->state == MSPAN_SMALL;

	if (is_small)
		ring.small_bytes += (size_t)n * bytes;
	else
		ring.large_bytes += (size_t)n * bytes;
	if (is_small || npages <= MAX_RUN) {
		own_add(&ring.held[is_small ? s->sizeclass : rec_of_run(npages)],
			(uint64_t)n);
		return;
	}
	own_add(&ring.huge, (uint64_t)n);
	own_add(&ring.huge_bytes, (uint64_t)n * bytes);
}

/* Under the lock: the oldest leaves, if need be or always. False: none did. */
static bool pop(struct held *h, bool always)
{
	if (ring.tail == ring.head ||
		(!always && ring.small_bytes <= SMALL_BUDGET &&
			ring.large_bytes <= LARGE_BUDGET &&
			ring.head - ring.tail < RING))
		return false;
	*h = ring.at[ring.tail++ % RING];
	count(arena_span(h->p), -1);
	return true;
}

static void give_back(const struct held *h)
{
	struct mspan *s = arena_span(h->p);
	const void *bad = written(h);

	if (bad)
		use_after_free(h, bad);
	store_relaxed(&objinfo_at(s, h->p)->stack, 0);
	objinfo_at(s, h->p)->shift = 0;
	if (s->state == MSPAN_LARGE)
		mheap_free_span(s);
	else
		mcentral_put(s, h->p);
}

static bool shrink(bool always)
{
	struct held h;
	bool any = false, more;

	do {
		lock(&ring.lock);
		more = pop(&h, always);
		unlock(&ring.lock);
		if (more)
			give_back(&h);
		any |= more;
	} while (more);
	return any;
}

bool harden_flush(void)
{
	return shrink(true);
}

/* -- free ----------------------------------------------------------------- */

static void check_slack(const struct mspan *s, uintptr_t p, size_t size)
{
	const unsigned char *bad = differs(
		(char *)p + size, mspan_elemsize(s) - size, SLACK);

	if (!bad)
		return;
	objinfo_blame(s, p);
	mcentral_found_late = true;
	fatal("heap overflow: write to %p, %zu bytes past the end of the "
	      "object of %zu bytes at %p",
		(const void *)bad, (size_t)((uintptr_t)bad - p) - size, size,
		(void *)p);
}

NORETURN static void freed_before(const char *what, const struct mspan *s,
	uintptr_t p)
{
	objinfo_blame(s, p);
	mcentral_freed_before(what, p, objinfo_size(s, objinfo_at(s, p)));
}

size_t harden_size(const char *what, const struct mspan *s, uintptr_t p)
{
	const struct objinfo *o = objinfo_at(s, p);
	size_t size = objinfo_size(s, o);

	if (o->shift == FREED)
		freed_before(what, s, p);
	check_slack(s, p, size);
	return size;
}

void harden_check_size(const struct mspan *s, uintptr_t p, size_t size)
{
	size_t real = harden_size("free", s, p);

	if (size == real)
		return;
	objinfo_blame(s, p);
	fatal("free of %p with a size of %zu: the object has %zu bytes",
		(void *)p, size, real);
}

/* From now on it is freed: of two threads that try one gets here. */
static void mark(struct mspan *s, uintptr_t p)
{
	struct objinfo *o = objinfo_at(s, p);
	uint32_t stack;
	unsigned shift;

	lock(&ring.lock);
	stack = o->stack;
	shift = o->shift;
	if (shift == FREED) {
		unlock(&ring.lock);
		freed_before("free", s, p);
	}
	o->shift = FREED;
	unlock(&ring.lock);
	if (stack)
		objinfo_hooks.free(stack, mspan_elemsize(s), shift);
}

/* Unusable until it leaves quarantine. */
static void close_off(const struct mspan *s)
{
	sysmem_release((void *)s->base, mspan_bytes(s));
	sysmem_protect((void *)s->base, mspan_bytes(s), false);
}

static bool make_ring(void)
{
	if (!ring.at)
		ring.at = sysmem_map(NULL, RING * sizeof(*ring.at), SYS_OTHER);
	return ring.at != NULL;
}

void harden_free(struct mspan *s, uintptr_t p)
{
	struct held h = {p, harden_size("free", s, p)};
	bool kept;

	mark(s, p);
	if (s->state == MSPAN_LARGE)
		close_off(s);
	else
		memset((void *)p, FILL, mspan_elemsize(s));
	shrink(false);
	lock(&ring.lock);
	kept = make_ring() && ring.head - ring.tail < RING;
	if (kept) {
		ring.at[ring.head++ % RING] = h;
		count(s, 1);
	}
	unlock(&ring.lock);
	if (!kept)
		give_back(&h);
}

void harden_check(void)
{
	const void *bad = NULL;
	struct held h;

	lock(&ring.lock);
	for (size_t i = ring.tail; i < ring.head && !bad; i++) {
		h = ring.at[i % RING];
		bad = written(&h);
	}
	unlock(&ring.lock);
	if (bad)
		use_after_free(&h, bad);
}

/* -- for others ----------------------------------------------------------- */

size_t harden_count(void)
{
	return load_relaxed(&ring.head) - load_relaxed(&ring.tail);
}

uintptr_t harden_at(size_t i)
{
	return ring.at[(ring.tail + i) % RING].p;
}

uint64_t harden_held(unsigned r)
{
	return load_relaxed(&ring.held[r]);
}

void harden_held_huge(uint64_t *n, uint64_t *bytes)
{
	*n = load_relaxed(&ring.huge);
	*bytes = load_relaxed(&ring.huge_bytes);
}

void harden_prefork(void)
{
	lock(&ring.lock);
}

void harden_postfork(bool child)
{
	if (child)
		lock_reinit(&ring.lock);
	else
		unlock(&ring.lock);
}
