/* SPDX-License-Identifier: MIT */
/*
 * What the copy gives up, and that the verdict is the same without it. Objects
 * are large and lie side by side, so that blocks hold several of them.
 */
#include "gc/letgo.h"
#include "alloc/heap.h"
#include "alloc/hugepage.h"
#include "os/pages.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { N = 100, TARGETS = 64 };

static uint64_t *object[N];
static size_t words[N];
static void *target[TARGETS]; /* small ones */
static uintptr_t root[N];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + N), ROOT_GLOBALS, 0, 0};
static struct root_mapping map;
static struct gc_range piece;
static struct rootset roots = {.ranges = {&range, 1, 1},
	.mappings = {&map, 1, 1},
	.pieces = {&piece, 1, 1}};
static uint64_t rng = 42;

static size_t below(size_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (size_t)(rng >> 16) % n;
}

static void make_map(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	map = (struct root_mapping){
		.lo = (uintptr_t)p, .hi = (uintptr_t)p + 8192, .npieces = 1};
	piece = (struct gc_range){map.lo, map.hi};
}

/* Numbers that are nearly addresses, and whose halves are no upper ones. */
static void fill(size_t i)
{
	uint64_t near[] = {(window_base >> 32) - 1, (window.next >> 32) + 1,
		(map.lo >> 32) - 1, (map.hi >> 32) + 1};

	for (size_t k = 0; k < words[i]; k++)
		object[i][k] = near[k % 4] << 32 | 0xffffffff;
}

static void make_objects(void)
{
	make_map();
	for (size_t i = 0; i < N; i++) {
		words[i] = (below(4) ? 40000 + below(200000)
				     : 2000000 + below(5000000)) /
			   8;
		object[i] = heap_malloc(words[i] * 8);
		ck_assert_ptr_nonnull(object[i]);
		if (below(2))
			root[i] = (uintptr_t)object[i];
	}
	for (size_t i = 0; i < TARGETS; i++)
		target[i] = memset(heap_malloc(64), 0, 64);
	for (size_t i = 0; i < N; i++)
		if (below(8) == 0) {
			heap_free(
				object[i]); /* pages whose words are nothing */
			object[i] = NULL;
			root[i] = 0;
		} else {
			fill(i);
		}
}

/* Something that leads somewhere, in one of ten objects, anywhere. */
static void add_words(unsigned tag_bits, bool far)
{
	for (size_t i = 0; i < N; i++) {
		uintptr_t w = (uintptr_t)target[below(TARGETS)] + below(64);

		if (!object[i] || below(10))
			continue;
		if (far)
			w = map.lo + below(8192);
		if (tag_bits)
			w |= (uint64_t)below(1 << tag_bits) << (64 - tag_bits);
		/* At a multiple of four, the last one of the object included.
		 */
		memcpy((char *)object[i] + 4 * below(2 * words[i] - 1), &w,
			sizeof(w));
	}
}

static bool leads(uint64_t w, const struct mark_options *o)
{
	w &= ~(uint64_t)0 >> o->tag_bits;
	return (w >= window_base && w < window.next) ||
	       (!o->no_mappings && w >= map.lo && w < map.hi);
}

/* By the book: large objects that lead nowhere and free pages, no others. */
static bool may_go(size_t block, const struct mark_options *o)
{
	uintptr_t lo = arena_addr(block * BLOCK_PAGES), hi = lo + HUGE_PAGE;

	for (size_t i = 0; i < TARGETS; i++)
		if ((uintptr_t)target[i] >= lo && (uintptr_t)target[i] < hi)
			return false;
	for (size_t i = 0; i < N; i++) {
		uintptr_t at = (uintptr_t)object[i];

		if (at >= hi || at + words[i] * 8 <= lo)
			continue;
		for (size_t off = 0; off + 8 <= words[i] * 8; off += 4) {
			uint64_t w;

			memcpy(&w, (char *)object[i] + off, sizeof(w));
			if (at + off + 8 > lo && at + off < hi && leads(w, o))
				return false;
		}
	}
	return true;
}

/* The mark bits of all blocks, one after the other. */
static uint64_t *mark(const struct mark_options *o, size_t *n)
{
	struct heapview v;
	struct hv_block b;
	struct marker m;
	uint64_t *bits;
	bool more;

	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, o));
	marker_roots(&m, ~0u);
	bits = calloc(v.nwords, sizeof(*bits));
	*n = 0;
	for (more = heapview_first(&v, &b); more; more = heapview_next(&v, &b))
		for (unsigned i = 0; i < b.nwords; i++)
			bits[(*n)++] = b.mark[i];
	heapview_check(&v);
	marker_free(&m);
	heapview_free(&v);
	return bits;
}

static void check_gone(
	const struct letgo *g, const struct mark_options *o, const bool *may)
{
	size_t ngone = 0, nmay = 0;

	for (size_t b = 0; b < g->nblocks; b++) {
		uintptr_t lo = arena_addr(b * BLOCK_PAGES);
		bool gone = letgo_covers(g, lo, lo + HUGE_PAGE);

		ck_assert_msg(!gone || may[b], "block %zu led somewhere", b);
		ngone += gone;
		nmay += may[b];
	}
	/* What is left of the heap's growth has no descriptor. */
	ck_assert_uint_ge(nmay, 10);
	ck_assert_msg(ngone * 10 >= nmay * 9, "%zu of %zu, tags %u", ngone,
		nmay, o->tag_bits);
}

static void same_verdict(const struct mark_options *how, bool far)
{
	struct mark_options o = *how;
	struct letgo g;
	size_t n, still;
	uint64_t *before, *after;
	bool *may;

	make_objects();
	add_words(o.tag_bits, far);
	before = mark(&o, &n);
	may = calloc((window.next - window_base) / HUGE_PAGE + 1, 1);
	for (size_t b = 0; b < (window.next - window_base) / HUGE_PAGE; b++)
		may[b] = may_go(b, &o);
	letgo(&g, &roots, &o);
	ck_assert_ptr_nonnull(g.block);
	check_gone(&g, &o, may);
	o.gone = &g;
	after = mark(&o, &still);
	ck_assert_uint_eq(n, still);
	ck_assert_mem_eq(before, after, n * sizeof(*before));
	/* Objects that are partly gone are read, and found to be zero. */
	o.gone = NULL;
	free(after);
	after = mark(&o, &still);
	ck_assert_mem_eq(before, after, n * sizeof(*before));
	letgo_free(&g);
	free(before);
	free(after);
	free(may);
}

START_TEST(test_near)
{
	struct mark_options o = {.nworkers = 1, .halves = true};

	same_verdict(&o, false);
}
END_TEST

START_TEST(test_far)
{
	struct mark_options o = {.nworkers = 1, .halves = true};

	same_verdict(&o, true);
}
END_TEST

START_TEST(test_no_mappings)
{
	struct mark_options o = {
		.nworkers = 1, .halves = true, .no_mappings = true};

	same_verdict(&o, true);
}
END_TEST

START_TEST(test_tags)
{
	struct mark_options o = {.nworkers = 1, .halves = true, .tag_bits = 16};

	same_verdict(&o, false);
}
END_TEST

/* The memory is given back, not only said to be. */
START_TEST(test_memory)
{
	struct mark_options o = {.nworkers = 1, .halves = true};
	size_t size = 64 * MIB;
	char *p = memset(heap_malloc(size), 1, size);
	size_t left = 0;
	uintptr_t lo, hi;
	struct pages pages;
	struct letgo g;

	make_map();
	letgo(&g, &roots, &o);
	pages_open(&pages);
	pages_begin(&pages, (uintptr_t)p, (uintptr_t)p + size, PAGES_ANY);
	while (pages_next(&pages, &lo, &hi))
		left += hi - lo;
	pages_close(&pages);
	ck_assert_uint_lt(left, 2 * HUGE_PAGE); /* its two ends */
	letgo_free(&g);
	heap_free(p);
}
END_TEST

/* A word that begins in one block and ends in the next: both must stay. */
START_TEST(test_border)
{
	struct mark_options o = {.nworkers = 1, .halves = true};
	char *p = memset(heap_malloc(16 * MIB), 1, 16 * MIB);
	void *small = heap_malloc(64);
	uintptr_t at = ALIGN_UP((uintptr_t)p, (uintptr_t)HUGE_PAGE);
	struct letgo g;

	make_map();
	at += 2 * HUGE_PAGE;
	memcpy((void *)(at - 4), &small, sizeof(small));
	letgo(&g, &roots, &o);
	ck_assert(letgo_covers(&g, at - 2 * HUGE_PAGE, at - HUGE_PAGE));
	ck_assert(!letgo_covers(&g, at - 4, at));
	ck_assert(!letgo_covers(&g, at, at + 4));
	ck_assert(letgo_covers(&g, at + HUGE_PAGE, at + 2 * HUGE_PAGE));
	ck_assert_mem_eq((void *)(at - 4), &small, sizeof(small));
	letgo_free(&g);
	heap_free(p);
}
END_TEST

/* Words at odd addresses are not seen here, so nothing may go. */
START_TEST(test_unaligned)
{
	struct mark_options o = {.nworkers = 1, .unaligned = true};
	char *p = memset(heap_malloc(8 * MIB), 1, 8 * MIB);
	struct letgo g;

	make_map();
	letgo(&g, &roots, &o);
	ck_assert_ptr_null(g.block);
	ck_assert(!letgo_covers(&g, (uintptr_t)p, (uintptr_t)p + 8));
	ck_assert_int_eq(p[4 * MIB], 1);
	letgo_free(&g);
	heap_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("letgo");
	TCase *t = tcase_create("letgo");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 240);
	tcase_add_test(t, test_near);
	tcase_add_test(t, test_far);
	tcase_add_test(t, test_no_mappings);
	tcase_add_test(t, test_tags);
	tcase_add_test(t, test_memory);
	tcase_add_test(t, test_border);
	tcase_add_test(t, test_unaligned);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
