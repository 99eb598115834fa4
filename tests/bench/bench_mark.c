/* SPDX-License-Identifier: MIT */
/*
 * bench_mark: how fast the collector marks. Not a program under LD_PRELOAD: it
 * builds graphs in the runtime's own heap and calls the marker.
 *
 *	bench_mark [SHAPE [MIB [KERNEL [WORKERS [RUNS]]]]]
 *
 * prints CPU nanoseconds an object and GB/s, the best of RUNS, and as a measure
 * for that how fast the machine reads the same memory in order. Built with
 * -DBENCH_LIBGC (bench_mark_gc) it marks the same graphs with the Boehm
 * collector, one marker, in huge pages like ours.
 *
 *	random	objects of 16 to 512 bytes, 42 % of the words are pointers to
 *		anywhere, 6 % of those into the middle
 *	local	the same, but 3 of 4 pointers go to near neighbours
 *	mix	60 % of the bytes local, 40 % arrays of 64 KiB without pointers
 *	tree	binary, nodes of 32 bytes
 *	list	one list in address order; shuffled: at random
 *	scalar	64 KiB arrays without pointers
 */
#include "bench.h"

#ifdef BENCH_LIBGC
#include <gc.h>
#define ALLOC(n) GC_MALLOC(n)
#else
#include "alloc/heap.h"
#include "gc/mark.h"
#include "os/sysmem.h"

#define ALLOC(n) heap_malloc(n)
#endif

#include <sys/mman.h>

enum { MAX_SCAN = 512, COLLAPSE = 25 /* MADV_COLLAPSE */ };

static uint64_t seed = 88172645463325252u;
static void **object;
static uint32_t *bytes;
static size_t nobjects, total;
static void *root[2];

static void *make(size_t size)
{
	void *p = bench_must(ALLOC(size));

	memset(p, 0, size);
	if (!object) {
		object = bench_must(calloc((size_t)1 << 27, sizeof(*object)));
		bytes = bench_must(calloc((size_t)1 << 27, sizeof(*bytes)));
	}
	object[nobjects] = p;
	bytes[nobjects++] = (uint32_t)size;
	total += size;
	return p;
}

/* Each object is the child of an earlier one, so all can be reached. */
static void link_graph(bool local)
{
	for (size_t i = 0; i < nobjects; i++) {
		uintptr_t *w = object[i];
		size_t n = bytes[i] / 8;

		if (bytes[i] > MAX_SCAN)
			continue;
		for (size_t k = 0; k < n; k++) {
			size_t to;

			if (bench_between(&seed, 0, 99) >= 42) {
				w[k] = bench_rand(&seed) >> 40;
				continue;
			}
			to = bench_between(&seed, 0, nobjects - 1);
			if (local && bench_between(&seed, 0, 3))
				to = (i + bench_between(&seed, 0, 63)) %
				     nobjects;
			w[k] = (uintptr_t)object[to];
			if (bench_between(&seed, 0, 99) < 6)
				w[k] += 8;
		}
	}
}

/* 16 to 512 bytes, small ones more often: 132 on average. */
static size_t sizes(void)
{
	size_t top = (size_t)1 << bench_between(&seed, 0, 5);

	return bench_between(&seed, (top + 1) / 2, top) * 16;
}

static void graph(size_t size, bool local, bool mix)
{
	while (total < size) {
		if (mix && total && bench_between(&seed, 0, 359) == 0)
			make(65536);
		else
			make(sizes());
	}
	link_graph(local);
}

static void *tree(int depth)
{
	void **node = make(32);

	if (depth > 0) {
		node[0] = tree(depth - 1);
		node[1] = tree(depth - 1);
	}
	return node;
}

static void list(size_t size, bool shuffle)
{
	while (total < size)
		make(64);
	if (shuffle)
		for (size_t i = nobjects - 1; i > 0; i--) {
			size_t k = bench_between(&seed, 0, i);
			void *t = object[i];

			object[i] = object[k];
			object[k] = t;
		}
	for (size_t i = 0; i + 1 < nobjects; i++)
		*(void **)object[i] = object[i + 1];
}

static void scalars(size_t size)
{
	void **index = NULL;

	for (size_t k = 0; total < size; k++) {
		uint64_t *p;

		if (k % 64 == 0) {
			void **next = make(1024);

			next[0] = index;
			index = next;
			k++;
		}
		p = make(65536);
		for (size_t i = 0; i < 8192; i++)
			p[i] = bench_rand(&seed) >> 20;
		index[k % 64] = p;
	}
	root[0] = index;
}

static void build(const char *shape, size_t size)
{
	if (!strcmp(shape, "random"))
		graph(size, false, false);
	else if (!strcmp(shape, "local"))
		graph(size, true, false);
	else if (!strcmp(shape, "mix"))
		graph(size, true, true);
	else if (!strcmp(shape, "tree"))
		root[0] = tree(63 - __builtin_clzl(size / 32) - 1);
	else if (!strcmp(shape, "list"))
		list(size, false);
	else if (!strcmp(shape, "shuffled"))
		list(size, true);
	else if (!strcmp(shape, "scalar"))
		scalars(size);
	else
		bench_fail("no such shape");
	if (!root[0])
		root[0] = object[0];
}

/* As the heap of a large process is: in huge pages. */
static void collapse(void)
{
	enum { HUGE = 2 << 20, SEEN = 1 << 16 };
	static uintptr_t seen[SEEN];

	if (getenv("BENCH_SMALL_PAGES"))
		return;
	for (size_t i = 0; i < nobjects; i++) {
		uintptr_t block = (uintptr_t)object[i] / HUGE;

		if (seen[block % SEEN] == block)
			continue;
		seen[block % SEEN] = block;
		madvise((void *)(block * HUGE), HUGE, COLLAPSE);
	}
}

#ifdef BENCH_LIBGC
static uint64_t mark_ns;

static void GC_CALLBACK event(GC_EventType e)
{
	if (e == GC_EVENT_MARK_START)
		mark_ns -= bench_cpu_ns();
	else if (e == GC_EVENT_MARK_END)
		mark_ns += bench_cpu_ns();
}

static double run(const char *kernel, unsigned workers, size_t *live)
{
	(void)kernel;
	(void)workers;
	mark_ns = 0;
	GC_gcollect();
	*live = nobjects;
	return (double)mark_ns;
}

static double read_all(void)
{
	return 0;
}
#else
/* What the machine can do: all of the heap, one word after the other. */
__attribute__((target_clones("default", "avx2", "avx512f"))) static double
read_all(void)
{
	typedef uint64_t line __attribute__((vector_size(64)));
	const line *p = (const void *)window_base;
	const line *end = (const void *)window.next;
	uint64_t t = bench_cpu_ns();
	line a = {0}, b = a;

	for (; p + 2 <= end; p += 2) {
		a |= p[0];
		b |= p[1];
	}
	bench_use(&a);
	bench_use(&b);
	t = bench_cpu_ns() - t;
	return (double)(window.next - window_base) / (double)t;
}

static double run(const char *kernel, unsigned workers, size_t *live)
{
	static const char *const name[] = {"scalar", "avx2", "avx512"};
	struct mark_options o = {.nworkers = workers, .halves = true};
	struct root_range r = {
		(uintptr_t)root, (uintptr_t)(root + 2), ROOT_GLOBALS, 0, 0};
	struct rootset roots = {.ranges = {&r, 1, 1}};
	struct heapview v;
	struct marker m;
	uint64_t t, objects, size;

	if (!heapview_init(&v, &roots) || !marker_init(&m, &v, &o))
		bench_fail("no memory to mark");
	for (int i = 0; i < MARK_NISA; i++)
		if (!strcmp(kernel, name[i]) && !marker_use(&m, i))
			bench_fail("not on this CPU");
	t = bench_cpu_ns();
	marker_roots(&m, ~0u);
	t = bench_cpu_ns() - t;
	heapview_unmarked(&v, &objects, &size);
	*live = v.objects - objects;
	marker_free(&m);
	heapview_free(&v);
	return (double)t;
}
#endif

int main(int argc, char **argv)
{
	const char *shape = argc > 1 ? argv[1] : "random";
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 0) : 8;
	const char *kernel = argc > 3 ? argv[3] : "best";
	unsigned workers = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
	int runs = argc > 5 ? atoi(argv[5]) : 3;
	double best = 1e18, read = 0;
	size_t live = 0;

#ifdef BENCH_LIBGC
	setenv("GC_MARKERS", "1", 1);
	GC_INIT();
	GC_set_on_collection_event(event);
	GC_disable();
#endif
	build(shape, mib << 20);
	collapse();
#ifdef BENCH_LIBGC
	GC_enable();
#endif
	for (int i = 0; i < runs; i++) {
		double t = run(kernel, workers, &live);

		best = t < best ? t : best;
		t = read_all();
		read = t > read ? t : read;
	}
	printf("objects %zu\n", nobjects);
	printf("live %zu\n", live);
	printf("ns_per_op %.1f\n", best / (double)live);
	printf("gb_per_s %.2f\n", (double)total / best);
	printf("read_gb_per_s %.2f\n", read);
	return 0;
}
