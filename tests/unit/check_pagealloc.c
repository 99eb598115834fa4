/* SPDX-License-Identifier: MIT */
/* Random page runs against one byte of state for each page. */
#include "alloc/pagealloc.h"
#include "os/sysmem.h"
#include "support/maps.h"
#include "support/random.h"
#include "support/run.h"

#include <sys/syscall.h>

enum { MODEL_PAGES = 6 * ARENA_PAGES, RUNS = 3000 };

/* The model. */
static enum { ABSENT, TAKEN, IDLE, SCAV } state[MODEL_PAGES];
static size_t top; /* pages at and above were never there */

static struct held {
	size_t page, n;
} held[RUNS];
static size_t nheld, npages_held;

static bool is_free(size_t page)
{
	return state[page] == IDLE || state[page] == SCAV;
}

/* First fit, by walking over every page. */
static size_t model_find(size_t n, size_t align)
{
	size_t len = 0;

	for (size_t p = 0; p < top; p++) {
		size_t begin;

		len = is_free(p) ? len + 1 : 0;
		begin = ALIGN_UP(p + 1 - len, align);
		if (p + 1 >= begin + n)
			return begin;
	}
	return SIZE_MAX;
}

static bool model_all_free(size_t page, size_t n)
{
	for (size_t p = page; p < page + n; p++)
		if (p >= top || !is_free(p))
			return false;
	return true;
}

static void check_bits(void)
{
	for (size_t p = 0; p < window_npages; p++) {
		const struct arena *a = arenas[p / ARENA_PAGES];
		size_t k = p % ARENA_PAGES;

		MUST_EQ(a->inuse[k / 64] >> k % 64 & 1, !is_free(p));
		MUST_EQ(a->scav[k / 64] >> k % 64 & 1, state[p] == SCAV);
	}
	pagealloc_check();
}

/* A run was handed out: say so in the model, after checking what was said. */
static void took(size_t page, size_t n, bool zero, size_t nscav)
{
	size_t want = 0;

	for (size_t p = page; p < page + n; p++) {
		want += state[p] == SCAV;
		/* Sparing: one word tells whether the page came back. */
		if (state[p] == SCAV)
			MUST_EQ(*(uint64_t *)arena_addr(p), 0);
		*(uint64_t *)arena_addr(p) = p + 1;
		state[p] = TAKEN;
	}
	MUST_EQ(nscav, want);
	MUST_EQ(zero, want == n);
	npages_held += n;
}

static void keep(size_t page, size_t n)
{
	MUST(nheld < RUNS);
	held[nheld++] = (struct held){page, n};
}

static void grow(size_t n)
{
	size_t got, page = arena_grow(n, &got);

	MUST(page != SIZE_MAX && page + got <= MODEL_PAGES);
	for (size_t p = page; p < page + got; p++)
		state[p] = SCAV;
	top = page + got;
	pagealloc_added(page, got);
}

static bool take(size_t n, size_t align)
{
	size_t want = model_find(n, align), nscav, page;
	bool zero;

	page = pagealloc_take(n, align, &zero, &nscav);
	MUST_EQ(page, want);
	if (page == SIZE_MAX)
		return false;
	took(page, n, zero, nscav);
	keep(page, n);
	return true;
}

/* Where a span may want to grow: behind another one, more often than not. */
static void take_at(struct rng *r, size_t n)
{
	size_t page = rng_below(r, top), nscav;
	bool zero, want;

	if (nheld && rng_below(r, 4)) {
		struct held *h = &held[rng_below(r, nheld)];

		page = h->page + h->n;
	}
	want = model_all_free(page, n);
	MUST_EQ(pagealloc_take_at(page, n, &zero, &nscav), want);
	if (!want)
		return;
	took(page, n, zero, nscav);
	keep(page, n);
}

/* All or part of a run goes back, with or without its memory. */
static void give(struct rng *r, size_t i)
{
	struct held *h = &held[i];
	size_t n = h->n, page = h->page;
	bool without = rng_below(r, 8) == 0;

	if (rng_below(r, 4) == 0) { /* the tail only */
		n = 1 + rng_below(r, n);
		page += h->n - n;
	}
	for (size_t p = page; p < page + n; p++) {
		MUST_EQ(*(uint64_t *)arena_addr(p), p + 1);
		state[p] = without ? SCAV : IDLE;
	}
	if (without) {
		MUST(sysmem_release((void *)arena_addr(page), n << PAGE_SHIFT));
		pagealloc_free_scavenged(page, n);
	} else {
		pagealloc_free(page, n);
	}
	npages_held -= n;
	h->n -= n;
	if (h->n == 0)
		*h = held[--nheld];
}

/*
 * Of what the model does not know beforehand, it sees to it that as much went
 * as was asked for, from the top down, and no run more than was needed.
 */
static void scavenge(size_t n)
{
	size_t idle = 0, gone = 0, lowest = SIZE_MAX, highest_left = 0, done;

	for (size_t p = 0; p < top; p++)
		idle += state[p] == IDLE;
	done = pagealloc_scavenge(n);
	for (size_t p = 0; p < top; p++) {
		const struct arena *a = arenas[p / ARENA_PAGES];
		size_t k = p % ARENA_PAGES;
		bool scav = a->scav[k / 64] >> k % 64 & 1;

		if (state[p] == IDLE && scav) {
			state[p] = SCAV;
			lowest = MIN(lowest, p);
			gone++;
		} else if (state[p] == IDLE) {
			highest_left = p;
		}
	}
	MUST_EQ(done, gone);
	MUST(done >= MIN(n, idle));
	MUST(done == 0 || done == idle || highest_left < lowest);
	/* The run that was given back last had been needed. */
	if (done > n) {
		size_t run = 0;

		while (lowest + run < top && state[lowest + run] == SCAV)
			run++;
		MUST(done - n < run);
	}
}

static size_t some_size(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0:
		return rng_log(r, 2000);
	case 1:
		return 64 * rng_log(r, 16);
	default:
		return 1 + rng_below(r, 24);
	}
}

static void step(struct rng *r, size_t most)
{
	size_t n = some_size(r);
	size_t align = rng_below(r, 8) ? 1 : (size_t)1 << rng_below(r, 11);

	switch (rng_below(r, 16)) {
	case 0:
		take_at(r, n);
		break;
	case 1:
		if (rng_below(r, 16) == 0)
			scavenge(rng_log(r, 4000));
		break;
	case 2 ... 8:
		if (nheld + 2 < RUNS && npages_held + n <= most) {
			if (!take(n, align)) {
				grow(n + align - 1);
				MUST(take(n, align));
			}
			break;
		}
		/* fallthrough */
	default:
		if (nheld)
			give(r, rng_below(r, nheld));
	}
}

static void give_all(struct rng *r)
{
	while (nheld)
		give(r, nheld - 1);
	check_bits();
	MUST_EQ(npages_held, 0);
}

START_TEST(random_runs)
{
	struct rng r = rng_init(1);
	size_t rounds = scaled(6);

	ck_assert(arena_init());
	for (size_t i = 0; i < rounds; i++) {
		/* From nearly empty to more than two arenas. */
		size_t most = rng_log(&r, 2 * ARENA_PAGES + 4000);

		for (size_t k = 0; k < 1500; k++) {
			step(&r, most);
			if (k % 32 == 0)
				check_bits();
		}
		if (rng_below(&r, 3) == 0)
			give_all(&r);
	}
	give_all(&r);
	scavenge(SIZE_MAX);
	check_bits();
}
END_TEST

/* As above, with the window full of somebody else's pages. */
START_TEST(random_runs_between_gaps)
{
	struct rng r = rng_init(2);

	ck_assert(arena_init());
	grow(100);
	for (size_t i = 1; i < 5; i++) {
		void *at = (void *)(window_base + i * ARENA_SIZE -
			(1 + rng_below(&r, 64)) * 256 * KIB);

		ck_assert_ptr_eq(at,
			mmap(at, OS_PAGE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS |
					MAP_FIXED_NOREPLACE,
				-1, 0));
	}
	for (size_t k = 0; k < scaled(5000); k++) {
		step(&r, 2 * ARENA_PAGES);
		if (k % 64 == 0)
			check_bits();
	}
	give_all(&r);
}
END_TEST

/* Runs that lie across the border of two chunks, and of two arenas. */
START_TEST(across_borders)
{
	size_t borders[] = {CHUNK_PAGES, 3 * CHUNK_PAGES, ARENA_PAGES,
		2 * ARENA_PAGES};
	struct rng r = rng_init(3);

	ck_assert(arena_init());
	grow(2 * ARENA_PAGES + 3 * CHUNK_PAGES);
	ck_assert(take(top, 1)); /* all of it in one run */
	nheld = npages_held = 0;
	for (size_t i = 0; i < NELEM(borders); i++)
		for (size_t before = 1; before <= 130; before += 43)
			for (size_t after = 1; after <= 130; after += 43) {
				size_t lo = borders[i] - before;
				size_t n = before + after;

				/* In two pieces that join. */
				keep(lo, before);
				keep(borders[i], after);
				npages_held += n;
				while (nheld)
					give(&r, nheld - 1);
				check_bits();
				ck_assert(!take(n + 1, 1));
				ck_assert(take(n, 1));
				nheld = npages_held = 0;
			}
	/* Whole chunks and arenas inside one run. */
	keep(CHUNK_PAGES - 5, 2 * ARENA_PAGES);
	npages_held += 2 * ARENA_PAGES;
	while (nheld)
		give(&r, nheld - 1);
	check_bits();
	ck_assert(!take(2 * ARENA_PAGES + 1, 1));
	ck_assert(take(2 * ARENA_PAGES - 600, 512));
	ck_assert(take(500, 64));
	ck_assert(take(4, 1));
	check_bits();
}
END_TEST

/* Every alignment finds the run that just fits, wherever it lies. */
START_TEST(alignment)
{
	struct rng r = rng_init(4);

	ck_assert(arena_init());
	grow(3 * ARENA_PAGES);
	ck_assert(take(top, 1));
	nheld = npages_held = 0;
	for (size_t align = 2; align <= ARENA_PAGES; align *= 2)
		for (int i = 0; i < 12; i++) {
			size_t n = rng_log(&r, 2 * align);
			size_t slots = (2 * ARENA_PAGES - n) / align;
			size_t page = rng_below(&r, slots + 1) * align;
			size_t slack = rng_below(&r, align);

			/* Just there, and too early by one without slack. */
			slack = MIN(slack, page);
			keep(page - slack, slack + n);
			npages_held += slack + n;
			while (nheld)
				give(&r, nheld - 1);
			ck_assert(!take(slack + n + 1, 1));
			ck_assert(take(n, align));
			ck_assert_uint_eq(held[0].page, page);
			if (slack) {
				ck_assert(!take(slack + 1, 1));
				ck_assert(take(slack, 1));
			}
			nheld = npages_held = 0;
		}
	check_bits();
}
END_TEST

/* The kernel keeps its pages: nothing is given back, nothing is claimed. */
START_TEST(scavenging_refused)
{
	ck_assert(arena_init());
	grow(64);
	ck_assert(take(64, 1));
	pagealloc_free(0, 64);
	for (size_t p = 0; p < 64; p++)
		state[p] = IDLE;
	/* By hand: sanitizers make mlock() do nothing. */
	if (syscall(SYS_mlock, arena_addr(0), 64 * PAGE_SIZE))
		return;
	ck_assert_uint_eq(pagealloc_scavenge(64), 0);
	check_bits();
	syscall(SYS_munlock, arena_addr(0), 64 * PAGE_SIZE);
	ck_assert_uint_eq(pagealloc_scavenge(64), 64);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pagealloc");
	TCase *tc = new_case(s, "pagealloc");

	tcase_add_test(tc, random_runs);
	tcase_add_test(tc, random_runs_between_gaps);
	tcase_add_test(tc, across_borders);
	tcase_add_test(tc, alignment);
	tcase_add_test(tc, scavenging_refused);
	seed_init();
	return run_suite(s);
}
