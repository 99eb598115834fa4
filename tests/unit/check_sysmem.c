/* SPDX-License-Identifier: MIT */
/* The books of sysmem against /proc/self/maps. */
#include "os/sysmem.h"
#include "support/maps.h"
#include "support/random.h"
#include "support/run.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static uint64_t all_sys(void)
{
	uint64_t n = 0;

	for (int k = 0; k < NSYSKIND; k++)
		n += sysmem_sys((enum syskind)k);
	return n;
}

/* Any order of calls: each kind is what the kernel has mapped for it. */
START_TEST(books_are_right)
{
	enum { SLOTS = 40 };
	struct {
		char *p;
		size_t size, ready;
		enum syskind kind;
	} have[SLOTS] = {0};
	uint64_t want[NSYSKIND] = {0};
	struct rng r = rng_init(1);
	size_t before = maps_anonymous();

	errno = 77;
	for (size_t i = 0; i < scaled(4000); i++) {
		size_t k = rng_below(&r, SLOTS);

		if (have[k].p && have[k].ready < have[k].size) {
			size_t more = have[k].size - have[k].ready;

			more = ALIGN_UP(1 + rng_below(&r, more),
				(size_t)OS_PAGE);
			MUST(sysmem_commit(have[k].p + have[k].ready, more,
				have[k].kind));
			MUST(all_zero(have[k].p + have[k].ready, more));
			have[k].ready += more;
			want[have[k].kind] += more;
		} else if (have[k].p) {
			memset(have[k].p, 1, have[k].size);
			sysmem_unmap(have[k].p, have[k].size, have[k].kind);
			want[have[k].kind] -= have[k].size;
			have[k].p = NULL;
		} else {
			have[k].size = (1 + rng_below(&r, 64)) * OS_PAGE;
			have[k].kind = (enum syskind)rng_below(&r, NSYSKIND);
			have[k].ready = 0;
			if (rng_below(&r, 2)) {
				have[k].p = sysmem_reserve(have[k].size);
			} else {
				have[k].p = sysmem_map(
					NULL, have[k].size, have[k].kind);
				have[k].ready = have[k].size;
				want[have[k].kind] += have[k].size;
				MUST(all_zero(have[k].p, have[k].size));
			}
			MUST(have[k].p != NULL);
		}
		for (int kind = 0; kind < NSYSKIND; kind++)
			MUST_EQ(sysmem_sys((enum syskind)kind), want[kind]);
		if (i % 64 == 0 && !SANITIZED)
			MUST_EQ(maps_anonymous() - before, all_sys());
	}
	ck_assert_int_eq(errno, 77);
}
END_TEST

/* Ours are told from the program's, which are never next to them. */
START_TEST(ours)
{
	char mine[64], *p[20], *theirs, *reserved = sysmem_reserve(MIB);

	if (SANITIZED)
		return; /* the area may be full of shadow */
	theirs = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < NELEM(p); i++) {
		p[i] = i % 2 ? sysmem_map(NULL, MIB, SYS_OTHER)
			     : sysmem_map_shared(MIB, SYS_OTHER);
		ck_assert(sysmem_owns((uintptr_t)p[i]));
		ck_assert(sysmem_owns((uintptr_t)p[i] + MIB - 1));
	}
	ck_assert(sysmem_owns((uintptr_t)reserved));
	ck_assert(!sysmem_owns((uintptr_t)theirs));
	ck_assert(!sysmem_owns((uintptr_t)mine));
	ck_assert(!sysmem_owns((uintptr_t)sysmem_owns));
	ck_assert(!sysmem_owns((uintptr_t)malloc(1)));
	ck_assert(!sysmem_owns(0) && !sysmem_owns(UINTPTR_MAX));
	/* A neighbour that was there first is walked around. */
	theirs = mmap(p[19] + MIB, 64 * MIB, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ck_assert_ptr_eq(theirs, p[19] + MIB);
	p[0] = sysmem_map(NULL, MIB, SYS_OTHER);
	ck_assert(p[0] && sysmem_owns((uintptr_t)p[0]));
	ck_assert(p[0] > theirs + 64 * MIB);
	ck_assert(!sysmem_owns((uintptr_t)theirs));
	ck_assert(!sysmem_owns((uintptr_t)theirs + 64 * MIB - 1));
	/* Whoever likes random addresses may be anywhere behind. */
	ck_assert(!sysmem_owns((uintptr_t)p[0] + GIB));
	ck_assert(sysmem_owns((uintptr_t)p[1]));
}
END_TEST

static bool write_one(void *p)
{
	++*(int *)p;
	return true;
}

START_TEST(shared_with_a_fork)
{
	int *shared = sysmem_map_shared(OS_PAGE, SYS_OTHER);
	int *private = sysmem_map(NULL, OS_PAGE, SYS_OTHER);

	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 2 * OS_PAGE);
	in_child(write_one, shared);
	in_child(write_one, private);
	ck_assert_int_eq(*shared, 1);
	ck_assert_int_eq(*private, 0);
	sysmem_unmap(shared, OS_PAGE, SYS_OTHER);
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), OS_PAGE);
}
END_TEST

START_TEST(exactly_there_or_not)
{
	char *p = sysmem_map(NULL, 8 * OS_PAGE, SYS_HEAP), *q;

	sysmem_unmap(p + 2 * OS_PAGE, 2 * OS_PAGE, SYS_HEAP);
	p[0] = p[4 * OS_PAGE] = 'x';
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 6 * OS_PAGE);
	/* Somebody is there, wholly or in part. */
	ck_assert_ptr_null(sysmem_map(p, OS_PAGE, SYS_HEAP));
	ck_assert_ptr_null(sysmem_map(p + OS_PAGE, 2 * OS_PAGE, SYS_HEAP));
	ck_assert_ptr_null(sysmem_map(p + 3 * OS_PAGE, 2 * OS_PAGE, SYS_HEAP));
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 6 * OS_PAGE);
	ck_assert(maps_vacant(p + 2 * OS_PAGE, 2 * OS_PAGE));
	ck_assert(p[0] == 'x' && p[4 * OS_PAGE] == 'x');
	q = sysmem_map(p + 2 * OS_PAGE, 2 * OS_PAGE, SYS_GC);
	ck_assert_ptr_eq(q, p + 2 * OS_PAGE);
	ck_assert_uint_eq(sysmem_sys(SYS_GC), 2 * OS_PAGE);
}
END_TEST

START_TEST(released_is_zero)
{
	size_t size = 64 * OS_PAGE;
	char *p = sysmem_map(NULL, size, SYS_HEAP);

	ck_assert_uint_eq(maps_resident(p, size), 0);
	memset(p, 1, size);
	ck_assert_uint_eq(maps_resident(p, size), size);
	ck_assert(sysmem_release(p + 8 * OS_PAGE, 16 * OS_PAGE));
	ck_assert_uint_eq(maps_resident(p, size), size - 16 * OS_PAGE);
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP), size);
	ck_assert(all_zero(p + 8 * OS_PAGE, 16 * OS_PAGE));
	ck_assert(p[8 * OS_PAGE - 1] == 1 && p[24 * OS_PAGE] == 1);
	/* Locked pages stay, and the caller is told. */
	if (syscall(SYS_mlock, p, OS_PAGE) == 0) { /* not a sanitizer's */
		ck_assert(!sysmem_release(p, OS_PAGE));
		ck_assert_int_eq(p[0], 1);
	}
}
END_TEST

START_TEST(moved_by_page_table)
{
	size_t size = 16 * OS_PAGE;
	char *p = sysmem_map(NULL, 2 * size, SYS_HEAP);

	memset(p, 7, size);
	if (!sysmem_move(p, p + size, size))
		return; /* before Linux 5.7 */
	ck_assert(all_zero(p, size));
	for (size_t i = 0; i < size; i++)
		MUST_EQ(p[size + i], 7);
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 2 * size);
}
END_TEST

START_TEST(refusals)
{
	char *p = sysmem_reserve(OS_PAGE), *q = sysmem_map(NULL, OS_PAGE, 0);

	errno = 77;
	for (long n = 0; n < 4; n++) {
		long ok = 0;

		sysmem_fail_after = n;
		for (int i = 0; i < 6; i++)
			ok += sysmem_map(NULL, OS_PAGE, SYS_OTHER) != NULL;
		ck_assert_int_eq(ok, n);
		ck_assert_ptr_null(sysmem_reserve(OS_PAGE));
		ck_assert(!sysmem_commit(p, OS_PAGE, SYS_OTHER));
		ck_assert(!sysmem_move(q, q, OS_PAGE));
	}
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 6 * OS_PAGE);
	sysmem_fail_after = -1;
	ck_assert_ptr_nonnull(sysmem_map(NULL, OS_PAGE, SYS_OTHER));
	/* By the kernel itself. */
	ck_assert_ptr_null(sysmem_map(NULL, (size_t)1 << 50, SYS_OTHER));
	ck_assert_ptr_null(sysmem_reserve((size_t)1 << 50));
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), 7 * OS_PAGE);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(limits_of_the_machine)
{
	struct rlimit had, now;
	size_t pages = (size_t)sysconf(_SC_PHYS_PAGES);

	ck_assert_uint_eq(sysmem_physical(), pages * OS_PAGE);
	getrlimit(RLIMIT_AS, &had);
	now = had;
	ck_assert_uint_eq(sysmem_address_limit(),
		had.rlim_cur == RLIM_INFINITY ? SIZE_MAX : had.rlim_cur);
	if (SANITIZED)
		return;
	now.rlim_cur = 3 * GIB;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &now), 0);
	ck_assert_uint_eq(sysmem_address_limit(), 3 * GIB);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sysmem");
	TCase *tc = new_case(s, "sysmem");

	tcase_add_test(tc, books_are_right);
	tcase_add_test(tc, ours);
	tcase_add_test(tc, shared_with_a_fork);
	tcase_add_test(tc, exactly_there_or_not);
	tcase_add_test(tc, released_is_zero);
	tcase_add_test(tc, moved_by_page_table);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, limits_of_the_machine);
	seed_init();
	return run_suite(s);
}
