/* SPDX-License-Identifier: MIT */
/*
 * Marking ahead of the stop, against a naive model: a program that changes
 * everything between any two steps of the marker, and at the end a depth-first
 * search over the words that are there. What the search reaches must be marked;
 * what could not be reached at the beginning, nor by anything that has happened
 * since, must not.
 */
#include "gc/ahead.h"
#include "alloc/heap.h"
#include "alloc/mcache.h"
#include "alloc/mcentral.h"
#include "support/random.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { NODES = 6000, FIRST = 3000, NROOTS = 24, MAPS = 2, MAP = 16 * 4096 };

struct node {
	uintptr_t lo, hi; /* 0: there is none */
	bool live;
	bool sealed; /* garbage from the start, left alone by all */
};

static struct node node[NODES];
static size_t order[NODES], norder; /* of those that exist, by address */
static uintptr_t root[NROOTS];
static char *map_at[MAPS];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + NROOTS), ROOT_GLOBALS, 0, 0};
static struct ahead ahead;
static struct rng rng;
static bool stale; /* new objects are left as they are */

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

/* The rootset is taken away: a new one each time. */
static struct rootset roots(void)
{
	struct rootset rs = {0};
	size_t page = 4096;

	rs.ranges = (struct root_vec){
		sysmem_map(NULL, page, SYS_GC), 1, page};
	memcpy(rs.ranges.v, &range, sizeof(range));
	rs.mappings = (struct root_vec){
		sysmem_map(NULL, page, SYS_GC), MAPS, page};
	rs.pieces = (struct root_vec){
		sysmem_map(NULL, page, SYS_GC), MAPS, page};
	for (uint32_t i = 0; i < MAPS; i++) {
		uintptr_t lo = (uintptr_t)map_at[i];

		((struct root_mapping *)rs.mappings.v)[i] =
			(struct root_mapping){lo, lo + MAP, i, 1, 0};
		((struct gc_range *)rs.pieces.v)[i] =
			(struct gc_range){lo, lo + MAP};
	}
	return rs;
}

/* -------- the program -------- */

static size_t some_size(void)
{
	switch (below(40)) {
	case 0:
		return below(MAX_SMALL) + 1;
	case 1:
		return below(300000) + 1;
	case 2:
	case 3:
		return 8192;
	default:
		return below(600) + 8;
	}
}

static bool usable(size_t i)
{
	return node[i].lo && !node[i].sealed;
}

static uintptr_t some_address(void)
{
	size_t i = below(NODES);

	if (below(50) == 0)
		return (uintptr_t)map_at[below(MAPS)] + below(MAP);
	if (!usable(i))
		return 0;
	return below(3) ? node[i].lo : node[i].lo + below(node[i].hi -
							    node[i].lo);
}

static void make(size_t i)
{
	size_t size = some_size();
	char *p = heap_malloc(size);

	MUST(p);
	if (!stale)
		memset(p, 0, heap_usable_size(p));
	node[i] = (struct node){
		(uintptr_t)p, (uintptr_t)p + heap_usable_size(p), false, false};
}

static void put(uintptr_t lo, uintptr_t hi)
{
	((uintptr_t *)lo)[below((hi - lo) / 8)] = some_address();
}

static void change(void)
{
	size_t i = below(NODES);

	switch (below(16)) {
	case 0:
	case 1:
		if (usable(i)) {
			/* What leads here goes on leading here. */
			heap_free((void *)node[i].lo);
			node[i].lo = 0;
		}
		break;
	case 2:
	case 3:
		if (!node[i].lo)
			make(i);
		break;
	case 4:
		root[below(NROOTS)] = some_address();
		break;
	case 5:
		put((uintptr_t)map_at[0], (uintptr_t)map_at[0] + MAP);
		break;
	case 6:
		if (usable(i)) {
			size_t size = node[i].hi - node[i].lo;
			char *p = heap_realloc((void *)node[i].lo,
				size + below(size) + 1);

			node[i].lo = (uintptr_t)p;
			node[i].hi = node[i].lo + heap_usable_size(p);
			if (!stale && node[i].hi - node[i].lo > size)
				memset(p + size, 0,
					node[i].hi - node[i].lo - size);
		}
		break;
	default:
		if (usable(i))
			put(node[i].lo, node[i].hi);
	}
}

/* -------- the model -------- */

static int by_address(const void *a, const void *b)
{
	uintptr_t x = node[*(const size_t *)a].lo;
	uintptr_t y = node[*(const size_t *)b].lo;

	return x < y ? -1 : x > y;
}

static struct node *find(uintptr_t p)
{
	size_t lo = 0, hi = norder;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct node *n = &node[order[mid]];

		if (p < n->lo)
			hi = mid;
		else if (p >= n->hi)
			lo = mid + 1;
		else
			return n;
	}
	return NULL;
}

static bool map_live[MAPS];

static void search(uintptr_t lo, uintptr_t hi)
{
	static uintptr_t todo[2 * (NODES + MAPS + 1)];
	size_t n = 0;

	todo[n++] = lo;
	todo[n++] = hi;
	while (n > 0) {
		hi = todo[--n];
		lo = todo[--n];
		for (; lo + 8 <= hi; lo += 8) {
			uintptr_t w = *(uintptr_t *)lo;
			struct node *o = find(w);

			if (o && !o->live) {
				o->live = true;
				todo[n++] = o->lo;
				todo[n++] = o->hi;
			}
			for (size_t k = 0; k < MAPS; k++) {
				uintptr_t m = (uintptr_t)map_at[k];

				if (w - m >= MAP || map_live[k])
					continue;
				map_live[k] = true;
				todo[n++] = m;
				todo[n++] = m + MAP;
			}
		}
	}
}

static void model(void)
{
	norder = 0;
	for (size_t i = 0; i < NODES; i++) {
		node[i].live = false;
		if (node[i].lo)
			order[norder++] = i;
	}
	qsort(order, norder, sizeof(order[0]), by_address);
	memset(map_live, 0, sizeof(map_live));
	search((uintptr_t)root, (uintptr_t)(root + NROOTS));
}

/* -------- rounds -------- */

static void make_maps(void)
{
	for (size_t i = 0; i < MAPS; i++)
		map_at[i] = mmap(NULL, MAP, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map_at[0] > map_at[1]) {
		char *p = map_at[0];

		map_at[0] = map_at[1];
		map_at[1] = p;
	}
}

static size_t reachable(void)
{
	size_t n = 0;

	model();
	for (size_t i = 0; i < norder; i++)
		n += node[order[i]].live;
	return n;
}

static void set_up(void)
{
	rng = rng_init(0);
	make_maps();
	for (size_t i = 0; i < FIRST; i++)
		make(i);
	for (size_t i = 0; i < NROOTS; i++)
		root[i] = node[below(FIRST)].lo;
	for (size_t i = 0; i < 3 * FIRST; i++) {
		size_t k = below(FIRST);

		put(node[k].lo, node[k].hi);
	}
	for (size_t i = 0; i < FIRST; i++)
		change();
	/* Once in a thousand graphs all roots lead to small parts of it. */
	while (reachable() <= 200)
		root[below(NROOTS)] = some_address();
}

/* First stop. False: the kernel can't. */
static bool begin(bool unaligned)
{
	struct ahead_options o = {
		{.nworkers = 1, .unaligned = unaligned}, ~0u, false,
		below(2) * 16384};
	enum writetrack_result r = ahead_open(&ahead);
	struct rootset rs = roots();

	if (r != WRITETRACK_OK) {
		printf("skipped: %d\n", (int)r);
		roots_free(&rs);
		return false;
	}
	ck_assert_ptr_null(ahead_begin(&ahead, &rs, NULL, &o));
	ck_assert_ptr_null(rs.ranges.v);
	return true;
}

static uint64_t marked, reached, rounds;

/* Second stop. */
static void compare(bool exact, bool unaligned)
{
	struct mark_options o = {.nworkers = 1, .unaligned = unaligned};
	struct rootset rs = roots();
	struct heapview v;
	struct hv_slot s;
	struct marker m;

	model();
	ck_assert(heapview_init(&v, &rs));
	ck_assert(marker_init(&m, &v, &o));
	ahead_carry(&ahead, &m);
	marker_roots(&m, ~0u);
	heapview_check(&v);
	for (size_t i = 0; i < norder; i++) {
		const struct node *n = &node[order[i]];
		bool found = !heapview_find(&v, n->lo, &s);

		marked += found;
		reached += n->live;
		MUST(!found || n->live || !exact);
		MUST(found || !n->live);

		/* Nothing has led there, ever. */
		MUST(!found || !n->sealed || stale || unaligned);
	}
	for (size_t k = 0; k < MAPS; k++)
		ck_assert(!map_live[k] ||
			!heapview_find(&v, (uintptr_t)map_at[k], &s));
	marker_free(&m);
	heapview_free(&v);
	ahead_end(&ahead, false);
	roots_free(&rs);
}

/* Nobody has its address, nor a mapping, which may be reached later. */
static void seal(void)
{
	model();
	for (size_t i = 0; i < MAPS; i++)
		search((uintptr_t)map_at[i], (uintptr_t)map_at[i] + MAP);
	for (size_t i = 0; i < norder; i++)
		node[order[i]].sealed = !node[order[i]].live;
}

static void unseal(void)
{
	for (size_t i = 0; i < NODES; i++)
		node[i].sealed = false;
}

static void round_of(size_t changes, bool unaligned)
{
	if (!begin(unaligned))
		exit(EXIT_SUCCESS);
	seal();
	while (!ahead_mark(&ahead, 0))
		for (size_t i = 0; i < changes; i++)
			change();
	ck_assert_ptr_null(ahead.error);
	rounds += ahead.round;
	for (size_t i = below(2) * changes * 20; i > 0; i--)
		change();
	compare(changes == 0, unaligned);
	unseal();
}

START_TEST(test_still)
{
	set_up();
	round_of(0, false);
	ck_assert_uint_eq(marked, reached);
	ck_assert_uint_gt(reached, 100);
}
END_TEST

START_TEST(test_changes)
{
	set_up();
	for (size_t i = 0; i < 25; i++) {
		stale = i % 3 == 2;
		round_of(1 + below(30), false);
	}
	ck_assert_uint_gt(reached, 100);
	ck_assert_uint_gt(rounds, 0);
}
END_TEST

START_TEST(test_unaligned)
{
	set_up();
	for (size_t i = 0; i < 5; i++)
		round_of(1 + below(30), true);
}
END_TEST

/*
 * An old word, never written again, leads to where there is nothing: to a free
 * slot, a free page, beyond the heap. Then something is allocated there.
 */
static uintptr_t *word;

static void lead_to(size_t size, int what)
{
	void **held = sysmem_map(NULL, 1 << 20, SYS_GC);
	size_t n = 0;
	bool there = false;

	word = heap_malloc(4096);
	memset(word, 0, 4096);
	root[0] = (uintptr_t)word;
	held[0] = heap_malloc(size);
	word[7] = (uintptr_t)held[0] + 5;
	if (what == 1)
		word[7] = window.next + (8 << 20) + 5;
	if (what == 2)
		word[7] = window.next + (window.next - window_base) / 2 +
			ARENA_SIZE + (16 << 20) + 5;
	heap_free(held[0]);
	if (!begin(false))
		exit(EXIT_SUCCESS);
	while (!ahead_mark(&ahead, 0))
		;
	norder = 0;
	memset(node, 0, sizeof(node));
	for (; n < 100000 && !there; n++) {
		char *p = heap_malloc(size);

		there = word[7] - (uintptr_t)p < heap_usable_size(p);
		node[0].lo = (uintptr_t)p;
		node[0].hi = node[0].lo + heap_usable_size(p);
		held[n] = p;
	}
	ck_assert(there);
	node[1].lo = (uintptr_t)word;
	node[1].hi = node[1].lo + 4096;
	ck_assert(!ahead_ask(&ahead) ||
		!ahead_written(&ahead, (uintptr_t)word, (uintptr_t)word + 64));
	compare(false, false);
	ck_assert(node[0].live); /* so compare() has found it marked */
	while (n > 0)
		heap_free(held[--n]);
	sysmem_unmap(held, 1 << 20, SYS_GC);
}

START_TEST(test_old_word)
{
	rng = rng_init(1);
	make_maps();
	lead_to(64, 0);
	lead_to(3 << 20, 0);
	lead_to(500000, 1);
	lead_to(8 << 20, 2);
}
END_TEST

/*
 * The same in what a span has behind its last slot: the span goes, and another
 * object lies there then.
 */
START_TEST(test_tail)
{
	enum { N = 40000, LARGE = 20 * PAGE_SIZE };
	static void *held[N];
	const struct sizeclass *c = &sizeclasses[1];
	const struct mspan *span;

	rng = rng_init(1);
	make_maps();
	while (c->size < 512 ||
		c->npages * (size_t)PAGE_SIZE - c->nelems * c->size < 8)
		c++;
	for (size_t i = 0; i < N; i++)
		held[i] = heap_malloc(c->size);
	span = arena_span((uintptr_t)held[N / 2]);
	for (size_t i = N / 2; i < N && span->nelems != c->nelems; i++)
		span = arena_span((uintptr_t)held[i]);
	word = memset(heap_malloc(4096), 0, 4096);
	root[0] = (uintptr_t)word;
	word[7] = span->base + (uintptr_t)span->nelems * c->size + 5;
	ck_assert_uint_lt(word[7], span->base + mspan_bytes(span));
	if (!begin(false))
		exit(EXIT_SUCCESS);
	while (!ahead_mark(&ahead, 0))
		;
	for (size_t i = 0; i < N; i++)
		heap_free(held[i]);
	mcache_flush(mcache_self);
	mcentral_settle();
	mheap_free_os_memory(); /* joins the pages */
	norder = 0;
	memset(node, 0, sizeof(node));
	for (size_t i = 0; i < N && word[7] - node[0].lo >= LARGE; i++) {
		node[0].lo = (uintptr_t)heap_malloc(LARGE);
		node[0].hi = node[0].lo + heap_usable_size((void *)node[0].lo);
	}
	node[1] = (struct node){
		(uintptr_t)word, (uintptr_t)word + 4096, false, false};
	compare(false, false);
	ck_assert(node[0].live);
}
END_TEST

/* The only word that leads to an object is one in a large one. */
static void large(bool unreadable)
{
	enum { SIZE = 1 << 20, AT = 4096 * 50 };
	char *p = heap_memalign(4096, SIZE);
	uintptr_t *w = (uintptr_t *)(p + AT + 80), one, two;

	memset(node, 0, sizeof(node));
	make(0);
	make(1);
	one = node[0].lo;
	two = node[1].lo;
	memset(p, 0, SIZE);
	node[2] = (struct node){(uintptr_t)p, (uintptr_t)p + SIZE, false,
		false};
	memset(root, 0, sizeof(root));
	root[3] = (uintptr_t)p;
	*w = one;
	if (!begin(false))
		exit(EXIT_SUCCESS);
	if (unreadable)
		mprotect(p + AT, 4096, PROT_NONE);
	while (!ahead_mark(&ahead, 0))
		;
	if (unreadable)
		mprotect(p + AT, 4096, PROT_READ | PROT_WRITE);
	else
		*w = two;
	compare(false, false);
	ck_assert(node[unreadable ? 0 : 1].live);
	heap_free(p);
}

START_TEST(test_large)
{
	rng = rng_init(1);
	make_maps();
	large(false);
	large(true);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ahead");
	TCase *t = new_case(s, "ahead");

	seed_init();
	tcase_add_test(t, test_still);
	tcase_add_test(t, test_changes);
	tcase_add_test(t, test_unaligned);
	tcase_add_test(t, test_old_word);
	tcase_add_test(t, test_tail);
	tcase_add_test(t, test_large);
	return run_suite(s);
}
