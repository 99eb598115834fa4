/* SPDX-License-Identifier: MIT */
/* The hash table against an array that is searched. */
#include "gc/ptrmap.h"
#include "os/sysmem.h"
#include "support/random.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 700, STEPS = 60000 };

static uintptr_t value[KEYS]; /* of key 16 * (i + 1); 0: not there */
static struct rng rng;

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

static uintptr_t key(size_t i)
{
	return 16 * (i + 1);
}

static void compare(const struct ptrmap *m)
{
	size_t n = 0, used = 0;

	for (size_t i = 0; i < KEYS; i++) {
		const struct ptrmap_entry *e = ptrmap_find(m, key(i));

		ck_assert((e != NULL) == (value[i] != 0));
		if (e)
			ck_assert_uint_eq(e->value, value[i]);
		n += value[i] != 0;
	}
	for (size_t i = 0; i < m->cap; i++)
		used += ptrmap_used(&m->slot[i]);
	ck_assert_uint_eq(m->n, n);
	ck_assert_uint_eq(used, n);
}

START_TEST(test_random)
{
	uint64_t before = sysmem_sys(SYS_GC);
	struct ptrmap m = {0};

	rng = rng_init(0);
	ck_assert_ptr_null(ptrmap_find(&m, 16));
	ck_assert(!ptrmap_remove(&m, 16));
	ck_assert(!ptrmap_put(&m, 0, 1));
	for (int step = 0; step < STEPS; step++) {
		/* Waves: mostly in, then mostly out. */
		bool in = below(8) < (step / 5000 % 2 ? 2 : 6);
		size_t i = below(KEYS);

		if (in) {
			value[i] = 1 + below(1000);
			ck_assert(ptrmap_put(&m, key(i), value[i]));
		} else {
			ck_assert(ptrmap_remove(&m, key(i)) == (value[i] != 0));
			value[i] = 0;
		}
		if (step % 500 == 0)
			compare(&m);
	}
	compare(&m);
	ptrmap_free(&m);
	ck_assert_uint_eq(sysmem_sys(SYS_GC), before);
}
END_TEST

START_TEST(test_no_memory)
{
	struct ptrmap m = {0};
	size_t i = 0;

	sysmem_fail_after = 0;
	ck_assert(!ptrmap_put(&m, 16, 1));
	sysmem_fail_after = 1;
	for (i = 0; ptrmap_put(&m, key(i), i + 1); i++)
		ck_assert_uint_lt(i, KEYS);
	sysmem_fail_after = -1;
	ck_assert_uint_gt(i, 50);
	for (size_t k = 0; k < i; k++)
		ck_assert_uint_eq(ptrmap_find(&m, key(k))->value, k + 1);
	ck_assert(ptrmap_put(&m, key(i), 1));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ptrmap");
	TCase *t = new_case(s, "ptrmap");

	seed_init();
	tcase_add_test(t, test_random);
	tcase_add_test(t, test_no_memory);
	return run_suite(s);
}
