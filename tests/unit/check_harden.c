/* SPDX-License-Identifier: MIT */
/* Hardened objects against a list of what is out and what was freed. */
#include "alloc/harden.h"
#include "alloc/heap.h"
#include "alloc/limits.h"
#include "alloc/mcentral.h"
#include "alloc/stats.h"
#include "support/random.h"
#include "support/run.h"

#include <signal.h>

enum { SLOTS = 500 };

static struct {
	unsigned char *p;
	size_t size, align;
	unsigned char fill;
} out[SLOTS];

static void start(void)
{
	MUST(mheap_init());
	mheap.harden = true;
}

static size_t random_size(struct rng *r)
{
	uint64_t k = rng_below(r, 100);

	return k < 80 ? rng_below(r, 600)
	       : k < 97 ? rng_below(r, 40000)
			: rng_below(r, 3 << 20);
}

static bool filled(const unsigned char *p, size_t n, unsigned char v)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != v)
			return false;
	return true;
}

static void get(struct rng *r, unsigned k)
{
	size_t align = (size_t)1 << rng_below(r, rng_below(r, 8) ? 5 : 16);

	out[k].size = random_size(r);
	out[k].align = align;
	out[k].fill = (unsigned char)rng_below(r, 200);
	out[k].p = align <= 8 ? heap_malloc(out[k].size)
			      : heap_memalign(align, out[k].size);
	MUST(out[k].p && (uintptr_t)out[k].p % align == 0);
	MUST_EQ(heap_usable_size(out[k].p), out[k].size);
	memset(out[k].p, out[k].fill, out[k].size);
}

static void put(unsigned k)
{
	MUST(filled(out[k].p, out[k].size, out[k].fill));
	heap_free_sized(out[k].p, out[k].size);
	out[k].p = NULL;
}

static void resize(struct rng *r, unsigned k)
{
	size_t size = random_size(r) + 1;
	unsigned char *p = heap_realloc(out[k].p, size);

	MUST(p && p != out[k].p);
	MUST(filled(p, MIN(size, out[k].size), out[k].fill));
	out[k].p = p;
	out[k].size = size;
	memset(p, out[k].fill, size);
}

static void check_all(void)
{
	harden_check();
	mcache_check();
	mcentral_check();
	mheap_check();
}

/* What is in quarantine counts as freed. */
static void check_stats(void)
{
	struct heapstats h;
	uint64_t objects = 0, bytes = 0;

	heapstats_read(&h);
	for (unsigned k = 0; k < SLOTS; k++) {
		if (!out[k].p)
			continue;
		objects++;
		bytes += mspan_elemsize(arena_span((uintptr_t)out[k].p));
	}
	MUST_EQ(h.mallocs - h.frees, objects);
	MUST_EQ(h.alloc, bytes);
}

START_TEST(random_calls)
{
	struct rng r = rng_init(1);

	start();
	for (unsigned i = 0; i < 30000; i++) {
		unsigned k = (unsigned)rng_below(&r, SLOTS);

		if (!out[k].p)
			get(&r, k);
		else if (rng_below(&r, 4) == 0)
			resize(&r, k);
		else
			put(k);
		if (i % 3000 == 0) {
			check_all();
			check_stats();
		}
	}
	for (unsigned k = 0; k < SLOTS; k++)
		if (out[k].p)
			put(k);
	check_stats();
	MUST(harden_count() > 0);
	MUST(harden_flush() && !harden_flush());
	MUST_EQ(harden_count(), 0);
	check_all();
	check_stats();
}
END_TEST

/* First in, first out, and not before megabytes have passed through. */
START_TEST(freed_memory_rests)
{
	char *first, *p;
	size_t n = 0;

	start();
	first = heap_malloc(100);
	heap_free(first);
	MUST(filled((unsigned char *)first, 100, 0xdf));
	do {
		p = heap_malloc(100);
		heap_free(p);
		n++;
	} while (p != first && n < 10000000);
	ck_assert_uint_ge(n * 112, 4 * MIB);
	ck_assert_uint_lt(n * 112, 64 * MIB);
	check_all();
}
END_TEST

/* A limit makes quarantine shrink before anything fails. */
START_TEST(limit)
{
	void *p[20];

	start();
	limits_set_max_heap(64 * MIB);
	for (int i = 0; i < 100; i++)
		heap_free(heap_malloc(20 * MIB));
	for (int i = 0; i < 20; i++)
		MUST(p[i] = heap_malloc(2 * MIB));
	MUST(!heap_malloc(60 * MIB));
	for (int i = 0; i < 20; i++)
		heap_free(p[i]);
	MUST(p[0] = heap_malloc(60 * MIB));
	heap_free(p[0]);
	check_all();
	check_stats();
}
END_TEST

START_TEST(refusals)
{
	start();
	for (long i = 0; i < 60; i++) {
		void *p;

		sysmem_fail_after = i;
		p = heap_malloc(1 + (size_t)i * 5000);
		if (p)
			heap_free(p);
		sysmem_fail_after = -1;
	}
	MUST(!heap_malloc(PTRDIFF_MAX) && !heap_memalign(1 << 20, SIZE_MAX / 2));
	harden_flush();
	check_all();
	check_stats();
}
END_TEST

START_TEST(calloc_is_zero)
{
	start();
	for (size_t n = 1; n < 4 << 20; n = n * 3 + 1) {
		unsigned char *p = heap_malloc(n);

		memset(p, 0xff, n);
		heap_free(p);
		harden_flush();
		p = heap_calloc(n, 1);
		MUST(filled(p, n, 0));
		heap_free(p);
	}
}
END_TEST

/* -- each of these must end the process ----------------------------------- */

static void double_free(void *size)
{
	void *p = heap_malloc(*(size_t *)size), *q = heap_malloc(48);

	heap_free(p);
	heap_free(q);
	heap_free(p);
}

static void realloc_freed(void *size)
{
	void *p = heap_malloc(*(size_t *)size);

	heap_free(p);
	heap_realloc(p, 10);
}

static void interior(void *size)
{
	heap_free((char *)heap_malloc(*(size_t *)size) + 16);
}

static void overflow(void *size)
{
	char *p = heap_malloc(*(size_t *)size);

	p[*(size_t *)size] = 1;
	heap_free(p);
}

static void write_after_free(void *size)
{
	volatile char *p = heap_malloc(*(size_t *)size);

	heap_free((void *)p);
	p[*(size_t *)size - 1] = 1;
	harden_flush();
}

static void write_after_free_until_end(void *size)
{
	volatile char *p = heap_malloc(*(size_t *)size);

	heap_free((void *)p);
	p[0] = 1;
	harden_check();
}

static void wrong_size(void *size)
{
	heap_free_sized(heap_malloc(*(size_t *)size), *(size_t *)size - 1);
}

START_TEST(misuse)
{
	size_t small = 48, large = 100000;

	start();
	expect_abort(double_free, &small, "double free of");
	expect_abort(double_free, &large, "double free of");
	expect_abort(realloc_freed, &small, "realloc of");
	expect_abort(realloc_freed, &large, "freed before (100000 bytes)");
	expect_abort(interior, &small, "into the object of 48 bytes");
	expect_abort(interior, &large, "into the object of 100000 bytes");
	expect_abort(overflow, &small, "heap overflow: write to");
	expect_abort(overflow, &large, "0 bytes past the end of the object of");
	expect_abort(write_after_free, &small, "use after free: write to");
	expect_abort(write_after_free_until_end, &small,
		"0 bytes into the freed object of 48 bytes");
	expect_abort(wrong_size, &small, "the object has 48 bytes");
	expect_abort(wrong_size, &large, "the object has 100000 bytes");
}
END_TEST

START_TEST(guard_behind)
{
	volatile char *p;

	start();
	p = heap_malloc(5 * PAGE_SIZE);
	p[5 * PAGE_SIZE] = 1;
}
END_TEST

START_TEST(guard_in_front)
{
	volatile char *p;

	start();
	p = heap_memalign(4 * PAGE_SIZE, 5 * PAGE_SIZE);
	p[-1] = 1;
}
END_TEST

START_TEST(read_after_free)
{
	volatile char *p;

	start();
	p = heap_malloc(5 * PAGE_SIZE);
	heap_free((void *)p);
	ck_assert_int_eq(p[0], 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("harden");
	TCase *tc = new_case(s, "harden");

	tcase_add_test(tc, random_calls);
	tcase_add_test(tc, freed_memory_rests);
	tcase_add_test(tc, limit);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, calloc_is_zero);
	tcase_add_test(tc, misuse);
	if (!SANITIZED) { /* they have handlers of their own */
		tcase_add_test_raise_signal(tc, guard_behind, SIGSEGV);
		tcase_add_test_raise_signal(tc, guard_in_front, SIGSEGV);
		tcase_add_test_raise_signal(tc, read_after_free, SIGSEGV);
	}
	seed_init();
	return run_suite(s);
}
