/* SPDX-License-Identifier: MIT */
/*
 * pagealloc: free page runs by bitmap and summaries (Go's mpagealloc.go).
 *
 * Each arena has a bit per page, each chunk of 512 pages a summary of its free
 * runs, each arena the summary of its chunks:
 *
 *	sum[arena]          start=3 max=700 end=12
 *	  chunk[0..15]      start=3 max=88  end=40 | start=512 max=512 end=512 |
 *	    inuse bits      0001111...
 *
 * A search skips an arena, then a chunk, by comparing max, and joins end and
 * start of neighbours to find runs across borders. Go needs five levels since
 * it covers 48 bits of address space; we have at most MAX_ARENAS arenas that
 * are packed from the window's base, so the top level is an array with a hint.
 *
 * Invariants, walked by pagealloc_check():
 *   P1  chunk[] equals what the bits say where dirty has no bit, and sum[] what
 *       chunk[] says where it is not stale;
 *   P2  a scav bit is set only on a free page;
 *   P3  no free run of 2^b or more pages begins below hint[b].
 *
 * Address order keeps the heap dense: the highest pages are the coldest, and
 * the scavenger takes those first.
 */
#include "alloc/pagealloc.h"
#include "alloc/hugepage.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

static struct pallocsum sum[MAX_ARENAS];
static uint16_t dirty[MAX_ARENAS]; /* bit c: chunk c changed; see P1 */
static bool stale[MAX_ARENAS];	   /* so has sum[] */
_Static_assert(ARENA_CHUNKS == 16, "bits of dirty");

/* By log2 of the run length, the last for all longer ones; see P3. */
enum { NHINT = 10 };
static size_t hint[NHINT];

static unsigned bucket(size_t npages)
{
	return MIN(63 - (unsigned)__builtin_clzl(npages), NHINT - 1u);
}

/* A free run of npages begins at page. */
static void lower_hints(size_t page, size_t npages)
{
	for (unsigned b = 0; b <= bucket(npages); b++)
		hint[b] = MIN(hint[b], page);
}

static bool test(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* Set or clear n bits from i, a word at a time. */
static void fill(uint64_t *bits, size_t i, size_t n, bool value)
{
	while (n) {
		size_t in = i % 64, part = MIN(n, 64 - in);
		uint64_t m = (part == 64 ? ~(uint64_t)0
					 : (((uint64_t)1 << part) - 1))
			<< in;

		if (value)
			bits[i / 64] |= m;
		else
			bits[i / 64] &= ~m;
		i += part;
		n -= part;
	}
}

static size_t popcount(const uint64_t *bits, size_t i, size_t n)
{
	size_t count = 0;

	while (n) {
		size_t in = i % 64, part = MIN(n, 64 - in);
		uint64_t m = part == 64 ? ~(uint64_t)0
					: (((uint64_t)1 << part) - 1);

		count += (size_t)__builtin_popcountll(bits[i / 64] >> in & m);
		i += part;
		n -= part;
	}
	return count;
}

/* Bits from i on that have the value of bit i, up to limit. */
static inline size_t run(const uint64_t *bits, size_t i, size_t limit)
{
	uint64_t flip = test(bits, i) ? ~(uint64_t)0 : 0;
	size_t start = i;

	while (i < limit) {
		uint64_t w = (bits[i / 64] ^ flip) >> (i % 64);

		if (w) {
			i += (size_t)__builtin_ctzll(w);
			break;
		}
		i = (i / 64 + 1) * 64;
	}
	return MIN(i, limit) - start;
}

/*
 * Longest run of free pages inside one word, if longer than beat; else beat.
 * Runs of beat + 1 are searched for by and-ing the word with itself, shifted
 * by doubling distances, so a word that has none costs a few instructions.
 */
static unsigned longest_in_word(uint64_t used, unsigned beat)
{
	uint64_t f = ~used;

	for (unsigned have = 1; f && have <= beat;) {
		unsigned step = MIN(have, beat + 1 - have);

		f &= f >> step;
		have += step;
	}
	while (f) {
		f &= f >> 1;
		beat++;
	}
	return beat;
}

static void sum_chunk(struct arena *a, size_t c)
{
	const uint64_t *w = a->inuse + c * CHUNK_WORDS;
	struct pallocsum s = {0, 0, 0};
	unsigned cur = 0;
	bool first = true;

	for (size_t i = 0; i < CHUNK_WORDS; i++) {
		if (w[i] == 0) {
			cur += 64;
			continue;
		}
		cur += (unsigned)__builtin_ctzll(w[i]);
		if (first)
			s.start = cur;
		first = false;
		s.max = MAX(s.max, cur);
		if (s.max < 62) /* a run inside the word may be longer */
			s.max = longest_in_word(w[i], s.max);
		cur = (unsigned)__builtin_clzll(w[i]);
	}
	if (first)
		s.start = cur;
	s.end = cur;
	s.max = MAX(s.max, cur);
	a->chunk[c] = s;
}

/* Join b behind a, where a covers na pages and b covers nb. */
static struct pallocsum join(struct pallocsum a, size_t na, struct pallocsum b,
	size_t nb)
{
	struct pallocsum s;

	s.start = a.start == na ? (uint32_t)na + b.start : a.start;
	s.end = b.end == nb ? (uint32_t)nb + a.end : b.end;
	s.max = MAX(MAX(a.max, b.max), a.end + b.start);
	return s;
}

/* The sums of [page, page + npages) are out of date. */
static void touch(size_t page, size_t npages)
{
	size_t last = (page + npages - 1) / CHUNK_PAGES;

	for (size_t c = page / CHUNK_PAGES; c <= last; c++)
		dirty[c / ARENA_CHUNKS] |= (uint16_t)(1u << c % ARENA_CHUNKS);
	for (size_t c = page / CHUNK_PAGES; c <= last; c += ARENA_CHUNKS)
		stale[c / ARENA_CHUNKS] = true;
	stale[last / ARENA_CHUNKS] = true;
}

/* Bring the sums of arena i up to date. */
static void refresh(size_t i)
{
	struct arena *a = arenas[i];
	struct pallocsum s;

	if (likely(!stale[i]))
		return;
	for (unsigned left = dirty[i]; left; left &= left - 1)
		sum_chunk(a, (size_t)__builtin_ctz(left));
	dirty[i] = 0;
	stale[i] = false;
	s = a->chunk[0];
	for (size_t c = 1; c < ARENA_CHUNKS; c++)
		s = join(s, c * CHUNK_PAGES, a->chunk[c], CHUNK_PAGES);
	sum[i] = s;
}

/* Apply f to the part of [page, page + n) that lies in each arena. */
#define EACH_ARENA(page, n, a, k, part)                                        \
	for (size_t p_ = (page), left_ = (n), part, k, go_ = 1;                \
		left_ && (k = p_ % ARENA_PAGES,                                \
				 part = MIN(left_, ARENA_PAGES - k), go_ = 1); \
		p_ += part, left_ -= part)                                     \
		for (struct arena *a = arenas[p_ / ARENA_PAGES]; go_; go_ = 0)

static void claim(size_t page, size_t npages, bool *zero, size_t *nscav)
{
	*nscav = 0;
	EACH_ARENA(page, npages, a, k, part)
	{
		*nscav += popcount(a->scav, k, part);
		fill(a->scav, k, part, false);
		fill(a->inuse, k, part, true);
	}
	*zero = *nscav == npages;
	touch(page, npages);
}

/*
 * A search for a run. begin and len describe the free run that ends at the
 * current position; first is the first run of at least worth pages that was
 * met, where the next search of the same bucket may start.
 */
struct search {
	size_t npages, align, worth;
	size_t begin, len, first;
};

/* Step over size pages with summary s, none of which fits. */
static void step_over(struct search *f, size_t page, size_t size,
	struct pallocsum s)
{
	if (f->first == SIZE_MAX &&
		(s.max >= f->worth || f->len + s.start >= f->worth))
		f->first = MIN(page, f->len ? f->begin : page);
	if (s.start == size) {
		f->begin = f->len ? f->begin : page;
		f->len += size;
		return;
	}
	f->len = s.end;
	f->begin = page + size - s.end;
}

/* Does a summary rule out that a fitting run begins or ends here? */
static bool too_short(const struct search *f, struct pallocsum s)
{
	return f->len + s.start < f->npages && s.max < f->npages;
}

/* Walk the runs of one chunk from page on. The run's first page or SIZE_MAX. */
static size_t walk_chunk(struct search *f, size_t *page)
{
	const uint64_t *bits = arenas[*page / ARENA_PAGES]->inuse;
	size_t k = *page % ARENA_PAGES, at = *page - k;
	size_t limit = ALIGN_UP(k + 1, (size_t)CHUNK_PAGES);

	while (k < limit) {
		size_t n = run(bits, k, limit), fit;

		if (test(bits, k)) {
			k += n;
			f->len = 0;
			continue;
		}
		if (f->len == 0)
			f->begin = at + k;
		k += n;
		f->len += n;
		fit = ALIGN_UP(f->begin, f->align);
		if (f->begin + f->len >= fit + f->npages)
			return fit;
		if (f->len >= f->worth && f->first == SIZE_MAX)
			f->first = f->begin;
	}
	*page = at + k;
	return SIZE_MAX;
}

/* Pages from page on whose sum rules out a fit, and that sum; 0: look. */
static size_t can_skip(const struct search *f, size_t page, struct pallocsum *s)
{
	size_t i = page / ARENA_PAGES, c = page % ARENA_PAGES / CHUNK_PAGES;

	*s = sum[i];
	if (page % ARENA_PAGES == 0 && !stale[i] && too_short(f, *s))
		return ARENA_PAGES;
	*s = arenas[i]->chunk[c];
	if (page % CHUNK_PAGES == 0 && !(dirty[i] >> c & 1) && too_short(f, *s))
		return CHUNK_PAGES;
	return 0;
}

/*
 * A chunk that has changed is walked, not summed up: it costs the same, and
 * mostly what is wanted is found there. Only if it is not, the sum is made, so
 * that the next search can skip it.
 */
static size_t find(struct search *f)
{
	size_t page = hint[bucket(f->npages)];
	size_t total = window.narenas * ARENA_PAGES;

	while (page < total) {
		size_t i = page / ARENA_PAGES, c = page % ARENA_PAGES / CHUNK_PAGES;
		struct pallocsum s;
		size_t got, n = can_skip(f, page, &s);

		if (n) {
			step_over(f, page, n, s);
			page += n;
		} else {
			got = walk_chunk(f, &page);
			if (got != SIZE_MAX)
				return got;
			if (dirty[i] >> c & 1)
				sum_chunk(arenas[i], c);
			dirty[i] &= (uint16_t)~(1u << c);
		}
		if (page % ARENA_PAGES == 0)
			refresh(i);
	}
	return SIZE_MAX;
}

size_t pagealloc_take(size_t npages, size_t align, bool *zero, size_t *nscav)
{
	unsigned b = bucket(npages);
	struct search f = {npages, align, (size_t)1 << b, 0, 0, SIZE_MAX};
	size_t page = find(&f);

	if (page == SIZE_MAX) {
		hint[b] = MIN(f.first, window.narenas * ARENA_PAGES);
		return SIZE_MAX;
	}
	/* What is left of the run, and what alignment skipped, comes next. */
	hint[b] = MIN(f.first, f.begin);
	if (f.begin == page)
		hint[b] = MIN(f.first, page + npages);
	claim(page, npages, zero, nscav);
	return page;
}

bool pagealloc_take_at(size_t page, size_t npages, bool *zero, size_t *nscav)
{
	if (page + npages > window_npages)
		return false;
	EACH_ARENA(page, npages, a, k, part)
	{
		if (test(a->inuse, k) || run(a->inuse, k, k + part) < part)
			return false;
	}
	claim(page, npages, zero, nscav);
	return true;
}

/* Free pages before page, within its chunk and the chunk before. */
static size_t free_before(size_t page)
{
	size_t n = 0;

	while (page > 0 && n < CHUNK_PAGES) {
		size_t p = page - 1;
		const uint64_t *bits = arenas[p / ARENA_PAGES]->inuse;
		uint64_t w = bits[p % ARENA_PAGES / 64] << (63 - p % 64);
		size_t k = w ? (size_t)__builtin_clzll(w) : p % 64 + 1;

		n += k;
		page -= k;
		if (w)
			break;
	}
	return n;
}

/* The freed run may have become part of a longer one: see to the hints. */
static void joined(size_t page, size_t npages)
{
	size_t before = free_before(page), end = page + npages;
	size_t limit = window.narenas * ARENA_PAGES, after = 0;

	while (end < limit && after < CHUNK_PAGES) {
		size_t k = end % ARENA_PAGES;
		const uint64_t *bits = arenas[end / ARENA_PAGES]->inuse;
		size_t n;

		if (test(bits, k))
			break;
		n = run(bits, k, MIN(ALIGN_UP(k + 1, (size_t)CHUNK_PAGES),
					(size_t)ARENA_PAGES));
		after += n;
		end += n;
	}
	lower_hints(page - before, before + npages + after);
}

static void release(size_t page, size_t npages, bool scavenged)
{
	EACH_ARENA(page, npages, a, k, part)
	{
		DEBUG_ASSERT(popcount(a->inuse, k, part) == part);
		fill(a->inuse, k, part, false);
		fill(a->scav, k, part, scavenged);
	}
	touch(page, npages);
	joined(page, npages);
}

void pagealloc_free(size_t page, size_t npages)
{
	release(page, npages, false);
}

void pagealloc_free_scavenged(size_t page, size_t npages)
{
	release(page, npages, true);
}

void pagealloc_added(size_t page, size_t npages)
{
	touch(page, npages);
	joined(page, npages);
}

/*
 * The first touch of a huge page has populated all of it: what was never used
 * of such a block has memory all the same, although its scav bits are set.
 */
static void release_populated(size_t arena, size_t i, size_t npages)
{
	struct arena *a = arenas[arena];
	size_t hi = ALIGN_UP(i + npages, (size_t)BLOCK_PAGES), end;

	for (size_t k = ALIGN_DOWN(i, (size_t)BLOCK_PAGES); k < hi; k = end) {
		bool scav = test(a->scav, k);
		size_t page = arena * ARENA_PAGES + k;

		for (end = k + 1; end % BLOCK_PAGES; end++)
			if (test(a->scav, end) != scav)
				break;
		if (scav && hugepage_asked(page))
			sysmem_release((void *)arena_addr(page),
				(end - k) << PAGE_SHIFT);
	}
}

/* Give back the free, resident pages of one chunk, top down. */
static size_t scavenge_chunk(size_t arena, size_t c, size_t npages)
{
	struct arena *a = arenas[arena];
	size_t lo = c * CHUNK_PAGES, i = lo + CHUNK_PAGES, done = 0;

	while (i > lo && done < npages) {
		size_t end;

		/* A run of free pages that have memory. */
		while (i > lo && (test(a->inuse, i - 1) || test(a->scav, i - 1)))
			i--;
		end = i;
		while (i > lo && !test(a->inuse, i - 1) &&
			!test(a->scav, i - 1))
			i--;
		if (i == end)
			break;
		uintptr_t addr = arena_addr(arena * ARENA_PAGES + i);

		if (!sysmem_release((void *)addr, (end - i) << PAGE_SHIFT))
			break; /* refused: advice only */
		release_populated(arena, i, end - i);
		hugepage_broken(arena * ARENA_PAGES + i, end - i);
		fill(a->scav, i, end - i, true);
		done += end - i;
	}
	return done;
}

size_t pagealloc_scavenge(size_t npages)
{
	size_t done = 0;

	for (size_t i = window.narenas; i-- > 0 && done < npages;) {
		size_t before = done;

		refresh(i);
		if (sum[i].max == 0)
			continue;
		for (size_t c = ARENA_CHUNKS; c-- > 0 && done < npages;)
			if (arenas[i]->chunk[c].max)
				done += scavenge_chunk(i, c, npages - done);
		if (done > before && sum[i].max == ARENA_PAGES &&
			popcount(arenas[i]->scav, 0, ARENA_PAGES) ==
				ARENA_PAGES)
			arena_idle(i);
	}
	return done;
}

static void check_hints(void)
{
	size_t begin = 0, len = 0, total = window.narenas * ARENA_PAGES;

	for (size_t p = 0; p < total; p++) {
		if (test(arenas[p / ARENA_PAGES]->inuse, p % ARENA_PAGES)) {
			len = 0;
			continue;
		}
		begin = len ? begin : p;
		len++;
		INVARIANT(begin >= hint[bucket(len)]);
	}
}

void pagealloc_check(void)
{
	for (size_t i = 0; i < window.narenas; i++) {
		struct arena *a = arenas[i];
		struct pallocsum s, had;

		refresh(i);
		had = sum[i];
		for (size_t c = 0; c < ARENA_CHUNKS; c++) {
			struct pallocsum old = a->chunk[c];

			sum_chunk(a, c);
			INVARIANT(!memcmp(&old, &a->chunk[c], sizeof(old)));
		}
		s = a->chunk[0];
		for (size_t c = 1; c < ARENA_CHUNKS; c++)
			s = join(s, c * CHUNK_PAGES, a->chunk[c], CHUNK_PAGES);
		INVARIANT(!memcmp(&s, &had, sizeof(s)));
		for (size_t w = 0; w < ARENA_PAGES / 64; w++)
			INVARIANT(!(a->scav[w] & a->inuse[w]));
	}
	check_hints();
}
