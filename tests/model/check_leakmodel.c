/* SPDX-License-Identifier: MIT */
/*
 * From a random heap to a list of leaks, against a model that knows the truth:
 * extents of objects, words of memory, depth-first search, components by
 * Tarjan's algorithm. Every marking kernel that this CPU has, with and without
 * odd addresses and tags, has to agree with it on every object: is it leaked,
 * suppressed, how many bytes were asked for, by whom; and of each component of
 * leaked objects that nothing outside leads to, one object is direct and
 * nothing else is. Then objects are freed, and their slots used again, as
 * behind a snapshot's back.
 */
#include "alloc/heap.h"
#include "gc/leaklist.h"
#include "gc/leakscope.h"
#include "support/extent.h"
#include "support/leakstacks.h"
#include "support/random.h"
#include "support/run.h"

#include <string.h>

#if defined(__SANITIZE_THREAD__)
enum { WORKERS = 1 }; /* threads without the C library are unknown to it */
#else
enum { WORKERS = 3 };
#endif

enum { N = 3000, NROOTS = 24, BAD = 13, LIST = 8 << 20 };

struct node {
	uintptr_t lo, hi;
	size_t size;	/* as requested */
	uint32_t stack; /* its own */
	bool live, hidden, freed;
	uint32_t *to; /* objects that its words lead to */
	uint32_t nto;
	/* Tarjan's. */
	uint32_t index, low, component;
	bool on_stack;
};

static struct node node[N];
static size_t nnodes;
static uintptr_t root[NROOTS];
static struct root_range range = {
	(uintptr_t)root, (uintptr_t)(root + NROOTS), ROOT_REGISTERED, 0, 0};
static struct rootset roots = {.ranges = {&range, 1, 1}};
static struct leaklist list;

/* -------- a heap -------- */

static size_t some_size(struct rng *r)
{
	switch (rng_below(r, 40)) {
	case 0:
		return rng_log(r, 400000);
	case 1:
		return 0;
	case 2:
	case 3:
		return rng_below(r, MAX_SMALL);
	default:
		return rng_log(r, 700);
	}
}

static void *some_object(struct rng *r, size_t size)
{
	switch (rng_below(r, 6)) {
	case 0:
		return heap_calloc(1, size);
	case 1:
		return heap_memalign((size_t)1 << rng_below(r, 13), size);
	case 2:
		return heap_realloc(heap_malloc(rng_log(r, 900)), size + !size);
	default:
		return heap_malloc(size);
	}
}

static void add_node(struct rng *r, size_t size)
{
	uintptr_t p;

	next_stack = 1 + (uint32_t)rng_below(r, 1000) * 100;
	p = (uintptr_t)some_object(r, size);
	MUST(p);
	memset((void *)p, 0, heap_usable_size((void *)p));
	node[nnodes++] = (struct node){.lo = p,
		.hi = p + mspan_elemsize(arena_span(p)),
		.size = size,
		.stack = next_stack};
}

static void make_objects(struct rng *r)
{
	nnodes = 0;
	for (size_t i = 0; i < N; i++) {
		size_t size = some_size(r), k;

		/* Free ones in between, of which nothing is known. */
		add_node(r, size + !size);
		if (rng_below(r, 4))
			continue;
		k = rng_below(r, nnodes);
		heap_free((void *)node[k].lo);
		node[k] = node[--nnodes];
	}
	qsort(node, nnodes, sizeof(node[0]), extent_order);
}

static uintptr_t some_word(struct rng *r, size_t self)
{
	const struct node *n = &node[rng_below(r, nnodes)];

	switch (rng_below(r, 14)) {
	case 0:
		return n->lo + rng_below(r, n->hi - n->lo);
	case 1:
		return n->lo + n->size; /* one past the end */
	case 2:
		return n->hi - 1;
	case 3:
		return n->hi; /* somebody else, or nobody */
	case 4:
		return node[self].lo;
	case 5:
		return window_base + rng_below(r, window.next - window_base);
	case 6:
		return rng_next(r) >> rng_below(r, 64);
	case 7:
		return ~n->lo;
	default:
		return n->lo;
	}
}

static void put(struct rng *r, uintptr_t at, uintptr_t w, unsigned tag_bits)
{
	if (tag_bits && rng_below(r, 2))
		w |= rng_next(r) << (64 - tag_bits);
	memcpy((void *)at, &w, sizeof(w));
}

static void link_nodes(
	struct rng *r, unsigned density, bool unaligned, unsigned tag_bits)
{
	for (size_t i = 0; i < nnodes; i++) {
		size_t words = heap_usable_size((void *)node[i].lo) / 8;
		size_t links = rng_below(r, density + 1);

		for (size_t k = 0; k < links && words > unaligned; k++) {
			uintptr_t at = node[i].lo +
				       8 * rng_below(r, words - unaligned);

			if (unaligned)
				at += rng_below(r, 8);
			put(r, at, some_word(r, i), tag_bits);
		}
	}
	memset(root, 0, sizeof(root));
	for (size_t i = 0; i < 1 + rng_below(r, NROOTS); i++)
		put(r, (uintptr_t)&root[i], some_word(r, 0), tag_bits);
}

/* -------- the model -------- */

static struct node *find(uintptr_t p)
{
	return extent_find(node, nnodes, sizeof(node[0]), p);
}

/* Objects that the words of [lo, hi) lead to, the first max of them. */
static uint32_t follow(uintptr_t lo, uintptr_t hi, const struct mark_options *o,
	uint32_t *to, uint32_t max)
{
	uintptr_t all_lo = node[0].lo, all_hi = node[nnodes - 1].hi, w;
	uint32_t n = 0;

	for (uintptr_t p = lo; p + 8 <= hi; p += o->unaligned ? 1 : 8) {
		struct node *hit;

		memcpy(&w, (void *)p, 8);
		w &= ~0ul >> o->tag_bits;
		if (w < all_lo || w >= all_hi)
			continue;
		hit = find(w);
		if (hit && n < max)
			to[n++] = (uint32_t)(hit - node);
	}
	return n;
}

static void make_edges(const struct mark_options *o)
{
	static uint32_t to[4096];

	for (size_t i = 0; i < nnodes; i++) {
		struct node *n = &node[i];

		n->nto = follow(n->lo, n->hi, o, to, NELEM(to));
		MUST(n->nto < NELEM(to));
		n->to = malloc(n->nto * sizeof(to[0]) + 1);
		memcpy(n->to, to, n->nto * sizeof(to[0]));
	}
}

static void drop_edges(void)
{
	for (size_t i = 0; i < nnodes; i++)
		free(node[i].to);
}

static uint32_t todo[N];

/* live or hidden spreads from those that have it. */
static void spread(bool hidden)
{
	size_t sp = 0;

	for (uint32_t i = 0; i < nnodes; i++)
		if (hidden ? node[i].hidden : node[i].live)
			todo[sp++] = i;
	while (sp) {
		const struct node *n = &node[todo[--sp]];

		for (uint32_t k = 0; k < n->nto; k++) {
			struct node *t = &node[n->to[k]];

			if (t->live || (hidden && t->hidden))
				continue;
			*(hidden ? &t->hidden : &t->live) = true;
			todo[sp++] = n->to[k];
		}
	}
}

static bool leaked(const struct node *n)
{
	return !n->live && !n->hidden;
}

static uint32_t next_index, ncomponents, stack_top;
static uint32_t scc_stack[N];

static void connect(struct node *n)
{
	n->index = n->low = ++next_index;
	scc_stack[stack_top++] = (uint32_t)(n - node);
	n->on_stack = true;
	for (uint32_t k = 0; k < n->nto; k++) {
		struct node *t = &node[n->to[k]];

		if (!leaked(t))
			continue;
		if (!t->index) {
			connect(t);
			n->low = MIN(n->low, t->low);
		} else if (t->on_stack) {
			n->low = MIN(n->low, t->index);
		}
	}
	if (n->low != n->index)
		return;
	for (struct node *t = NULL; t != n;) {
		t = &node[scc_stack[--stack_top]];
		t->on_stack = false;
		t->component = ncomponents;
	}
	ncomponents++;
}

static void model(const struct mark_options *o)
{
	uint32_t to[NROOTS * 8], n;

	make_edges(o);
	for (size_t i = 0; i < nnodes; i++) {
		node[i].live = node[i].hidden = node[i].freed = false;
		node[i].index = 0;
	}
	n = follow(range.lo, range.hi, o, to, NELEM(to));
	for (uint32_t i = 0; i < n; i++)
		node[to[i]].live = true;
	spread(false);
	for (size_t i = 0; i < nnodes; i++)
		node[i].hidden = !node[i].live && node[i].stack % BAD == 0;
	spread(true);
	next_index = ncomponents = stack_top = 0;
	for (size_t i = 0; i < nnodes; i++)
		if (leaked(&node[i]) && !node[i].index)
			connect(&node[i]);
}

/* -------- the verdict -------- */

static bool is_bad(void *arg UNUSED, uint32_t stack)
{
	return stack % BAD == 0;
}

static void look(const struct mark_options *o, enum mark_isa isa, bool *ran)
{
	struct leak_sets sets = {0};
	struct heapview v;
	struct marker m;

	MUST(heapview_init(&v, &roots));
	MUST(marker_init(&m, &v, o));
	*ran = marker_use(&m, isa);
	if (*ran) {
		marker_roots(&m, 1u << ROOT_REGISTERED);
		leak_ignore(&m, NULL, 0);
		MUST(leak_classify(&m, &sets, is_bad, NULL));
		MUST(leaklist_bound() <= LIST);
		list.cap = LIST;
		leaklist_write(&list, &v, &sets);
		leak_sets_free(&sets);
	}
	marker_free(&m);
	heapview_free(&v);
}

struct verdict {
	bool seen[N];
	enum leak_kind kind[N];
};

static void see(void *arg, const struct leak_object *o)
{
	struct verdict *v = arg;
	struct node *n = find(o->p);

	ck_assert_ptr_nonnull(n);
	ck_assert_uint_eq(o->p, n->lo);
	ck_assert_uint_eq(o->bytes, n->size);
	ck_assert_uint_eq(o->stack, n->stack);
	ck_assert(!v->seen[n - node]);
	v->seen[n - node] = true;
	v->kind[n - node] = o->kind;
}

static void read_list(struct verdict *v)
{
	memset(v, 0, sizeof(*v));
	leaklist_each(&list, see, v);
	for (size_t i = 0; i < nnodes; i++) {
		const struct node *n = &node[i];

		ck_assert_msg(v->seen[i] == (!n->live && !n->freed),
			"object %zu at %#lx, %zu bytes: live %d, freed %d", i,
			n->lo, n->size, n->live, n->freed);
		if (v->seen[i])
			ck_assert((v->kind[i] == LEAK_SUPPRESSED) == n->hidden);
	}
}

static void compare_classes(const struct verdict *v)
{
	static bool below[N];
	static unsigned directs[N];

	memset(below, 0, sizeof(below));
	memset(directs, 0, sizeof(directs));
	for (size_t i = 0; i < nnodes; i++) {
		const struct node *n = &node[i];

		if (!leaked(n))
			continue;
		directs[n->component] += v->kind[i] == LEAK_DIRECT;
		for (uint32_t k = 0; k < n->nto; k++) {
			const struct node *t = &node[n->to[k]];

			if (leaked(t) && t->component != n->component)
				below[t->component] = true;
		}
	}
	for (uint32_t c = 0; c < ncomponents; c++)
		ck_assert_uint_eq(directs[c], below[c] ? 0 : 1);
}

static void round_of(struct rng *r, struct mark_options *o, unsigned density)
{
	static struct verdict v;
	static void *again[N];
	uint64_t struck = 0;
	bool ran;

	make_objects(r);
	link_nodes(r, density, o->unaligned, o->tag_bits);
	model(o);
	for (enum mark_isa isa = 0; isa < MARK_NISA; isa++)
		for (o->nworkers = 1; o->nworkers <= WORKERS;
			o->nworkers += 2) {
			look(o, isa, &ran);
			if (!ran)
				continue;
			MUST(leaklist_open(&list));
			ck_assert(!list.truncated);
			read_list(&v);
			compare_classes(&v);
			leaklist_close(&list);
		}
	/* Some are freed since, by somebody who could find them. */
	for (size_t i = 0; i < nnodes; i++) {
		if (rng_below(r, 3))
			continue;
		node[i].freed = true;
		struck += !node[i].live;
		heap_free((void *)node[i].lo);
		next_stack = 7; /* nobody's so far */
		again[i] = rng_below(r, 2) ? heap_malloc(node[i].size) : NULL;
	}
	MUST(leaklist_open(&list));
	ck_assert_uint_eq(leaklist_verify(&list), struck);
	read_list(&v);
	leaklist_close(&list);
	drop_edges();
	for (size_t i = 0; i < nnodes; i++)
		heap_free(node[i].freed ? again[i] : (void *)node[i].lo);
}

static const struct {
	bool unaligned;
	unsigned tag_bits;
} modes[] = {{false, 0}, {true, 0}, {false, 8}, {false, 16}, {true, 16}};

START_TEST(random_heaps)
{
	struct rng r = rng_init((uint64_t)_i);
	struct mark_options o = {.unaligned = modes[_i].unaligned,
		.tag_bits = modes[_i].tag_bits};

	objinfo_for_leaks = true;
	record_stacks();
	mcache_set_slack(1);
	list.p = sysmem_map(NULL, LIST, SYS_GC);
	MUST(list.p);
	for (size_t round = 0; round < scaled(8); round++)
		round_of(&r, &o, (unsigned[]){1, 2, 3, 8}[round % 4]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("leakmodel");
	TCase *tc = new_case(s, "leakmodel");

	tcase_add_loop_test(tc, random_heaps, 0, (int)NELEM(modes));
	seed_init();
	return run_suite(s);
}
