/* SPDX-License-Identifier: MIT */
/*
 * The heap view and all marking kernels against a naive model: a sorted list
 * of the objects that exist, and a depth-first search over it.
 */
#include "alloc/heap.h"
#include "gc/mark.h"
#include "support/extent.h"
#include "support/random.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
	OBJECTS = 6000,
	MAPS = 5,
	MAP_PAGES = 6,
	NROOTS = 24,
	MAX_WORKERS = 3,
};

#if defined(__SANITIZE_THREAD__)
enum { WORKERS = 1 }; /* threads without the C library are unknown to it */
#else
enum { WORKERS = MAX_WORKERS };
#endif

struct node {
	uintptr_t lo, hi; /* the whole slot */
	uintptr_t gap;	  /* mappings: a page without access, or 0 */
	bool live, mapping;
};

static struct node node[OBJECTS + MAPS];
static size_t nnodes;
static struct root_mapping map[MAPS];
static struct gc_range piece[2 * MAPS]; /* with a gap between the two */
static uintptr_t root[NROOTS];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + NROOTS), ROOT_GLOBALS, 0, 0};
static struct root_word word; /* one root is not in memory */
static struct rootset roots = {
	.ranges = {&range, 1, 1},
	.words = {&word, 1, 1},
	.mappings = {map, MAPS, MAPS},
	.pieces = {piece, 2 * MAPS, 2 * MAPS},
};
static struct rootset plain = {.ranges = {&range, 1, 1}};
static struct rng rng;

static uint64_t rnd(void)
{
	return rng_next(&rng);
}

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

/* Many small, some of each class, a few of several pages and more. */
static size_t some_size(void)
{
	switch (below(16)) {
	case 0:
		return below(MAX_SMALL) + 1;
	case 1:
		return below(4) ? below(1024) + 1 : below(3000000) + 1;
	case 2:
		return 8;
	default:
		return below(600) + 1;
	}
}

static void add_node(uintptr_t lo, size_t size, bool mapping)
{
	node[nnodes++] = (struct node){lo, lo + size, 0, false, mapping};
}

static void make_objects(void)
{
	static void *drop[OBJECTS];
	size_t ndrop = 0;

	nnodes = 0;
	for (size_t i = 0; i < OBJECTS; i++) {
		size_t size = some_size();
		char *p = heap_malloc(size);

		ck_assert_ptr_nonnull(p);
		memset(p, 0, size);
		if (below(4) == 0)
			drop[ndrop++] = p; /* to magazines and to spans */
		else
			add_node((uintptr_t)p, heap_usable_size(p), false);
	}
	for (size_t i = 0; i < ndrop; i++)
		heap_free(drop[i]);
}

static void make_maps(void)
{
	for (size_t i = 0; i < MAPS; i++) {
		size_t size = (1 + below(MAP_PAGES)) * 4096;
		char *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ck_assert_ptr_ne(p, MAP_FAILED);
		munmap(p + size, 4096);
		add_node((uintptr_t)p, size, true);
		if (size < 3 * 4096)
			continue;
		node[nnodes - 1].gap = (uintptr_t)p + 4096;
		mprotect(p + 4096, 4096, PROT_NONE);
	}
	qsort(node, nnodes, sizeof(node[0]), extent_order);
	for (size_t i = 0, k = 0; i < nnodes; i++) {
		const struct node *n = &node[i];

		if (!n->mapping)
			continue;
		map[k] = (struct root_mapping){
			n->lo, n->hi, (uint32_t)k * 2, 2, 0};
		piece[2 * k] =
			(struct gc_range){n->lo, n->gap ? n->gap : n->hi};
		piece[2 * k + 1] = (struct gc_range){
			n->gap ? n->gap + 4096 : n->hi, n->hi};
		k++;
	}
}

/* Words that are, or look like, addresses of the heap. */
static uintptr_t some_word(void)
{
	const struct node *n = &node[below(nnodes)];

	switch (below(12)) {
	case 0:
		return n->lo + below(n->hi - n->lo); /* interior */
	case 1:
		return n->hi; /* the neighbour, a tail, or nothing */
	case 2:
		return n->hi - 1;
	case 3:
		return window_base + below(arena_page(window.next) << 13);
	case 4:
		return window_base - 1 - below(100);
	case 5:
		return window.next + below(100000);
	case 6:
		return rnd();
	case 7:
		return rnd() >> 20;
	default:
		return n->lo;
	}
}

static void put(uintptr_t at, uintptr_t value)
{
	memcpy((void *)at, &value, sizeof(value));
}

static void link_nodes(unsigned step, unsigned tag_bits)
{
	for (size_t i = 0; i < nnodes; i++) {
		struct node *n = &node[i];
		size_t words = (n->hi - n->lo) / 8;
		size_t links = below(4) ? below(3) : below(20);

		for (size_t k = 0; k < links && words; k++) {
			uintptr_t at = n->lo + 8 * below(words);
			uintptr_t w = some_word();

			if (n->gap && at - n->gap < 4096)
				continue;
			if (step < 8 && at + 16 <= n->hi &&
				(at + 16) % 4096 > 16)
				at += below(8 / step) * step;
			if (tag_bits)
				w |= rnd() << (64 - tag_bits);
			put(at, w);
		}
	}
	for (size_t i = 0; i < NROOTS; i++)
		root[i] = some_word();
	word.word = some_word();
}

static struct node *find(uintptr_t p)
{
	return extent_find(node, nnodes, sizeof(node[0]), p);
}

static void model_word(
	uintptr_t w, unsigned tag_bits, struct node **stack, size_t *sp)
{
	struct node *n = find(w & ~0ul >> tag_bits);

	if (!n || n->live)
		return;
	n->live = true;
	stack[(*sp)++] = n;
}

static void model_mark(const struct mark_options *o)
{
	static struct node *stack[OBJECTS + MAPS];
	size_t sp = 0;

	for (size_t i = 0; i < nnodes; i++)
		node[i].live = false;
	for (size_t i = 0; i < NROOTS; i++)
		model_word(root[i], o->tag_bits, stack, &sp);
	model_word(word.word, o->tag_bits, stack, &sp);
	while (sp) {
		struct node *n = stack[--sp];
		uintptr_t w;

		for (uintptr_t p = n->lo; p + 8 <= n->hi; p += o->unaligned ? 1
							       : o->halves
								       ? 4
								       : 8) {
			if (n->gap && p + 7 >= n->gap && p < n->gap + 4096)
				continue;
			memcpy(&w, (void *)p, 8);
			model_word(w, o->tag_bits, stack, &sp);
		}
	}
}

static bool marked(const struct heapview *v, const struct node *n)
{
	struct hv_slot s;
	struct hv_block b;

	if (!heapview_find(v, n->lo, &s))
		return true;
	heapview_block(v, s.block, &b);
	ck_assert_uint_eq(hv_address(&b, s.slot), n->lo);
	ck_assert_uint_eq(b.size, n->hi - n->lo);
	return false;
}

static void compare(const struct heapview *v)
{
	uint64_t objects, bytes, want = 0, want_bytes = 0;

	for (size_t i = 0; i < nnodes; i++) {
		ck_assert_msg(marked(v, &node[i]) == node[i].live,
			"object %zu at %#lx: model says %d", i, node[i].lo,
			node[i].live);
		if (node[i].live || node[i].mapping)
			continue;
		want++;
		want_bytes += node[i].hi - node[i].lo;
	}
	heapview_unmarked(v, &objects, &bytes);
	ck_assert_uint_eq(objects, want);
	ck_assert_uint_eq(bytes, want_bytes);
}

static void view_is_right(const struct heapview *v)
{
	uint64_t bytes = 0;

	heapview_check(v);
	for (size_t i = 0; i < nnodes; i++)
		if (!node[i].mapping)
			bytes += node[i].hi - node[i].lo;
	ck_assert_uint_eq(v->objects, nnodes - MAPS);
	ck_assert_uint_eq(v->bytes, bytes);
	for (size_t i = 0; i < nnodes; i++)
		ck_assert(!marked(v, &node[i])); /* that is: it is there */
	for (int i = 0; i < 20000; i++) {
		uintptr_t p = some_word();
		struct hv_slot s;
		struct hv_block b;
		struct node *n = find(p);

		ck_assert(heapview_find(v, p, &s) == (n != NULL));
		if (!n)
			continue;
		heapview_block(v, s.block, &b);
		ck_assert_uint_eq(hv_address(&b, s.slot), n->lo);
	}
}

static void run(const struct mark_options *o, enum mark_isa isa)
{
	uint64_t before = sysmem_sys(SYS_GC);
	struct heapview v;
	struct marker m;

	ck_assert(heapview_init(&v, &roots));
	view_is_right(&v);
	ck_assert(marker_init(&m, &v, o));
	if (marker_use(&m, isa)) {
		marker_roots(&m, ~0u);
		compare(&v);
		heapview_check(&v);
	}
	marker_free(&m);
	heapview_free(&v);
	ck_assert_uint_eq(sysmem_sys(SYS_GC), before);
}

static void set_up(uint64_t stream, unsigned step, unsigned tag_bits)
{
	rng = rng_init(stream);
	make_objects();
	make_maps();
	link_nodes(step, tag_bits);
}

static void tear_down(void)
{
	for (size_t i = 0; i < nnodes; i++) {
		if (node[i].mapping)
			munmap((void *)node[i].lo, node[i].hi - node[i].lo);
		else
			heap_free((void *)node[i].lo);
	}
}

static void differential(unsigned step, unsigned tag_bits)
{
	for (unsigned round = 0; round < 3; round++) {
		struct mark_options o = {.unaligned = step == 1,
			.halves = step == 4,
			.tag_bits = tag_bits};

		set_up(round, step, tag_bits);
		model_mark(&o);
		for (enum mark_isa isa = 0; isa < MARK_NISA; isa++)
			for (o.nworkers = 1; o.nworkers <= WORKERS;
				o.nworkers += 2)
				run(&o, isa);
		tear_down();
	}
}

START_TEST(test_random)
{
	differential(8, 0);
}
END_TEST

START_TEST(test_unaligned)
{
	differential(1, 0);
}
END_TEST

START_TEST(test_halves)
{
	differential(4, 0);
}
END_TEST

START_TEST(test_tags)
{
	differential(8, 16);
}
END_TEST

/* Kinds that nobody asked for are no roots. */
START_TEST(test_kinds)
{
	struct mark_options o = {.nworkers = 1};
	uint64_t *p = heap_malloc(64), *q = heap_malloc(64);
	struct heapview v;
	struct marker m;
	struct hv_slot s;

	root[0] = (uintptr_t)p;
	word.word = (uintptr_t)q;
	word.kind = ROOT_KERNEL;
	roots.mappings.n = 0;
	ck_assert(heapview_init(&v, &roots));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, 1u << ROOT_STACK);
	ck_assert(heapview_find(&v, (uintptr_t)p, &s));
	ck_assert(heapview_find(&v, (uintptr_t)q, &s));
	marker_roots(&m, 1u << ROOT_KERNEL);
	ck_assert(heapview_find(&v, (uintptr_t)p, &s));
	ck_assert(!heapview_find(&v, (uintptr_t)q, &s));
	marker_roots(&m, 1u << ROOT_GLOBALS);
	ck_assert(!heapview_find(&v, (uintptr_t)p, &s));
	marker_free(&m);
	heapview_free(&v);
}
END_TEST

/* A tag that is not masked hides the object. */
START_TEST(test_tag_hides)
{
	struct mark_options o = {.nworkers = 1};
	uint64_t *p = heap_malloc(64);
	struct heapview v;
	struct marker m;
	struct hv_slot s;

	root[0] = (uintptr_t)p | 0xabcdul << 48;
	for (o.tag_bits = 0; o.tag_bits <= 16; o.tag_bits += 16) {
		ck_assert(heapview_init(&v, &plain));
		ck_assert(marker_init(&m, &v, &o));
		marker_roots(&m, ~0u);
		ck_assert(heapview_find(&v, (uintptr_t)p, &s) ==
			  (o.tag_bits == 0));
		marker_free(&m);
		heapview_free(&v);
	}
	heap_free(p);
}
END_TEST

/* Lists, rings and a wide fan: shapes that take the other paths. */
START_TEST(test_chains)
{
	enum { N = 100000 };
	static void **p[N];
	struct mark_options o = {.nworkers = WORKERS};
	void **fan = heap_malloc(N * sizeof(void *));
	uint64_t objects, bytes;
	struct heapview v;
	struct marker m;

	for (size_t i = 0; i < N; i++)
		p[i] = memset(heap_malloc(32), 0, 32);
	for (size_t i = 0; i < N; i++) {
		fan[i] = p[i];
		p[i][0] = p[(i + 7919) % N];
		p[i][3] = p[i];
	}
	for (enum mark_isa isa = 0; isa < MARK_NISA; isa++)
		for (int shape = 0; shape < 2; shape++) {
			root[0] = (uintptr_t)(shape ? (void *)fan : p[0]);
			ck_assert(heapview_init(&v, &plain));
			ck_assert(marker_init(&m, &v, &o));
			if (marker_use(&m, isa)) {
				marker_roots(&m, ~0u);
				heapview_unmarked(&v, &objects, &bytes);
				ck_assert_uint_eq(v.objects, N + 1);
				ck_assert_uint_eq(objects, shape ? 0 : 1);
			}
			marker_free(&m);
			heapview_free(&v);
		}
}
END_TEST

/*
 * One pointer in 516 bytes of near misses, at each place in turn: a look at
 * many words at a time must not miss the one that counts.
 */
START_TEST(test_runs)
{
	enum { N = 700, STEP = 516, BYTES = N * STEP + 44 };
	static void *p[N];
	char *run = heap_malloc(BYTES);
	struct mark_options o = {.nworkers = 1, .halves = true};
	uint64_t objects, bytes, w;
	struct heapview v;
	struct marker m;

	for (size_t i = 0; i < N; i++)
		p[i] = memset(heap_malloc(32), 0, 32);
	root[0] = (uintptr_t)run;
	for (unsigned k = 0; k < 2 * MARK_NISA; k++) {
		o.tag_bits = k % 2 * 16;
		ck_assert(heapview_init(&v, &plain));
		for (size_t i = 0; i + 8 <= BYTES; i += 8) {
			w = (v.base >> 32) - 1 + i / 8 % 2 * 3;
			w = w << 32 | 0xffffffff;
			memcpy(run + i, &w, 8);
		}
		for (size_t i = 0; i < N; i++) {
			w = (uintptr_t)p[i] + i % 32;
			w |= o.tag_bits ? (uint64_t)(i | 1) << 48 : 0;
			memcpy(run + i * STEP, &w, 8);
		}
		ck_assert(marker_init(&m, &v, &o));
		if (marker_use(&m, k / 2)) {
			marker_roots(&m, ~0u);
			heapview_unmarked(&v, &objects, &bytes);
			ck_assert_uint_eq(v.objects, N + 1);
			ck_assert_uint_eq(objects, 0);
		}
		marker_free(&m);
		heapview_free(&v);
	}
}
END_TEST

/* Pointers at all odd multiples of four: none is lost between two stretches. */
START_TEST(test_packed)
{
	enum { N = 40000 };
	char *packed = heap_malloc(N * 8 + 4);
	struct mark_options o = {.nworkers = 1, .halves = true};
	uint64_t objects, bytes;
	struct heapview v;
	struct marker m;

	memset(packed, 0, 4);
	for (size_t i = 0; i < N; i++) {
		void *p = memset(heap_malloc(32), 0, 32);

		memcpy(packed + 4 + i * 8, &p, sizeof(p));
	}
	root[0] = (uintptr_t)packed;
	for (enum mark_isa isa = 0; isa < MARK_NISA; isa++) {
		ck_assert(heapview_init(&v, &plain));
		ck_assert(marker_init(&m, &v, &o));
		if (marker_use(&m, isa)) {
			marker_roots(&m, ~0u);
			heapview_unmarked(&v, &objects, &bytes);
			ck_assert_uint_eq(v.objects, N + 1);
			ck_assert_uint_eq(objects, 0);
		}
		marker_free(&m);
		heapview_free(&v);
	}
}
END_TEST

/*
 * One pointer at an odd multiple of four and nothing else: across the borders
 * between what is looked at at once, and at the very end.
 */
START_TEST(test_astride)
{
	enum { LARGE = 2 * MARK_CHUNK, SMALL = 2 * MARK_STRIDE, ODD = 28 };
	enum { N = 9 };
	static const size_t at[N] = {4, MARK_STRIDE - 4, SMALL - 12,
		MARK_CHUNK - 4, MARK_CHUNK + 4, LARGE - MARK_AHEAD - 4,
		LARGE - MARK_AHEAD + 4, LARGE - MARK_STRIDE - 4, LARGE - 12};
	struct mark_options o = {.nworkers = 1, .halves = true};
	char *large = heap_malloc(LARGE), *small = heap_malloc(SMALL);
	void *p = memset(heap_malloc(32), 0, 32);
	struct root_range odd = {
		(uintptr_t)large, (uintptr_t)large + ODD, ROOT_GLOBALS, 0, 0};
	struct rootset odd_roots = {.ranges = {&odd, 1, 1}};

	for (size_t i = 0; i < 3 * N * MARK_NISA; i++) {
		size_t off = at[i / 3 % N];
		char *from = i % 3 == 0 ? small : large;
		bool end = i % 3 == 2;
		struct heapview v;
		struct marker m;
		struct hv_slot s;

		off = from == small ? MIN(off, (size_t)SMALL - 12) : off;
		off = end ? ODD - 8 : off;
		memset(large, 0, LARGE);
		memset(small, 0, SMALL);
		memcpy(from + off, &p, sizeof(p));
		root[0] = (uintptr_t)from;
		ck_assert(heapview_init(&v, end ? &odd_roots : &plain));
		ck_assert(marker_init(&m, &v, &o));
		if (marker_use(&m, i / 3 / N)) {
			marker_roots(&m, ~0u);
			ck_assert_msg(!heapview_find(&v, (uintptr_t)p, &s),
				"kernel %zu: lost at %zu", i / 3 / N, off);
		}
		marker_free(&m);
		heapview_free(&v);
	}
	heap_free(p);
	heap_free(small);
	heap_free(large);
}
END_TEST

/* What has no memory behind it is not given any. */
START_TEST(test_sparse)
{
	size_t size = 256 * MIB;
	struct mark_options o = {.nworkers = 1};
	char *big = heap_malloc(size), *small = heap_malloc(48);
	unsigned char seen[64];
	struct heapview v;
	struct marker m;
	struct hv_slot s;

	put((uintptr_t)big + size / 2 + 8, (uintptr_t)small);
	root[0] = (uintptr_t)big + 5;
	ck_assert(heapview_init(&v, &plain));
	ck_assert(marker_init(&m, &v, &o));
	if (m.pagemap < 0)
		return; /* no /proc here */
	marker_roots(&m, ~0u);
	ck_assert(!heapview_find(&v, (uintptr_t)small, &s));
	ck_assert(!mincore(
		(void *)ALIGN_UP((uintptr_t)big, 4096ul), 64 * 4096, seen));
	for (int i = 1; i < 64; i++)
		ck_assert(!(seen[i] & 1));
	marker_free(&m);
	heapview_free(&v);
}
END_TEST

/* Out of memory at each step: false, and nothing left behind. */
START_TEST(test_no_memory)
{
	struct mark_options o = {.nworkers = 2};
	void *p = heap_malloc(100);
	uint64_t before = sysmem_sys(SYS_GC);
	struct heapview v;
	struct marker m;

	for (long n = 0; n < 2; n++) {
		sysmem_fail_after = n;
		ck_assert(!heapview_init(&v, &plain));
		sysmem_fail_after = -1;
		ck_assert_uint_eq(sysmem_sys(SYS_GC), before);
	}
	ck_assert(heapview_init(&v, &plain));
	before = sysmem_sys(SYS_GC);
	for (long n = 0; n < 2; n++) {
		sysmem_fail_after = n;
		ck_assert(!marker_init(&m, &v, &o));
		sysmem_fail_after = -1;
		ck_assert_uint_eq(sysmem_sys(SYS_GC), before);
	}
	heapview_free(&v);
	heap_free(p);
}
END_TEST

/* Before the first allocation there is nothing to see, and nothing breaks. */
START_TEST(test_empty)
{
	struct mark_options o = {.nworkers = 1};
	struct heapview v;
	struct marker m;
	struct hv_slot s;
	struct hv_block b;

	root[0] = 1;
	ck_assert(heapview_init(&v, &plain));
	ck_assert(marker_init(&m, &v, &o));
	marker_roots(&m, ~0u);
	ck_assert(!heapview_find(&v, 0, &s));
	ck_assert(!heapview_first(&v, &b));
	ck_assert_uint_eq(v.objects, 0);
	marker_free(&m);
	heapview_free(&v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mark");
	TCase *t = new_case(s, "mark");

	seed_init();
	tcase_add_test(t, test_empty);
	tcase_add_test(t, test_random);
	tcase_add_test(t, test_unaligned);
	tcase_add_test(t, test_halves);
	tcase_add_test(t, test_tags);
	tcase_add_test(t, test_kinds);
	tcase_add_test(t, test_tag_hides);
	tcase_add_test(t, test_chains);
	tcase_add_test(t, test_runs);
	tcase_add_test(t, test_packed);
	tcase_add_test(t, test_astride);
	tcase_add_test(t, test_sparse);
	tcase_add_test(t, test_no_memory);
	return run_suite(s);
}
