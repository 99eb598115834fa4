/* SPDX-License-Identifier: MIT */
#include "alloc/arena.h"
#include "os/sysmem.h"
#include "support/maps.h"
#include "support/random.h"
#include "support/run.h"

#include <sys/resource.h>

static uint64_t table_bytes(void)
{
	size_t table = ALIGN_UP(sizeof(struct arena), (size_t)OS_PAGE);

	return window.narenas * (table + ARENA_PAGES * sizeof(uint16_t));
}

/* What must hold at any time, whatever was refused. */
static void check_window(void)
{
	MUST_EQ(window_npages, window.narenas * ARENA_PAGES);
	MUST_EQ(sysmem_sys(SYS_GC), table_bytes());
	MUST(window_npages * sizeof(uint16_t) <= window.code_cap);
	MUST(window.narenas <= window.max_arenas);
	MUST(arena_page(window.next) <= window_npages);
	for (size_t i = 0; i < window.narenas; i++)
		MUST(arenas[i] != NULL);
	MUST(arenas[window.narenas] == NULL);
	for (size_t i = 0; i < window_npages; i++)
		MUST_EQ(load_relaxed(&window_code[i]), 0);
}

static bool bit(const uint64_t *bits, size_t page)
{
	return bits[page / 64] >> page % 64 & 1;
}

/* Are exactly the pages [page, page + n) free and scavenged? */
static void check_fresh(size_t page, size_t n)
{
	for (size_t i = 0; i < window_npages; i++) {
		const struct arena *a = arenas[i / ARENA_PAGES];
		bool in = i - page < n;

		MUST_EQ(bit(a->inuse, i % ARENA_PAGES), !in);
		MUST_EQ(bit(a->scav, i % ARENA_PAGES), in);
	}
}

static void check_memory(size_t page, size_t n)
{
	char *p = (char *)arena_addr(page);

	p[0] = p[n * PAGE_SIZE - 1] = 1;
	MUST_EQ(maps_resident(p, n * PAGE_SIZE), 2 * OS_PAGE);
	MUST(sysmem_release(p, n * PAGE_SIZE));
}

START_TEST(grows_in_a_row)
{
	size_t end = 0, got, page;
	struct rng r = rng_init(1);

	ck_assert(arena_init());
	ck_assert_uint_eq(window_base % ARENA_SIZE, 0);
	for (int i = 0; i < 60; i++) {
		size_t n = rng_log(&r, 4096);

		page = arena_grow(n, &got);
		ck_assert_uint_eq(page, end);
		ck_assert_uint_ge(got, n);
		ck_assert_uint_eq(got * PAGE_SIZE % window.grow, 0);
		ck_assert_uint_lt((got - n) * PAGE_SIZE, window.grow);
		check_memory(page, got);
		end = page + got;
		check_window();
		check_fresh(0, end);
		ck_assert_uint_eq(sysmem_sys(SYS_HEAP), end * PAGE_SIZE);
		ck_assert_uint_eq(arena_page(window.next), end);
	}
	ck_assert_uint_gt(window.narenas, 2);
}
END_TEST

START_TEST(more_than_an_arena)
{
	size_t n = 3 * ARENA_PAGES + 17, got;

	ck_assert(arena_init());
	ck_assert_uint_eq(arena_grow(n, &got), 0);
	ck_assert_uint_ge(got, n);
	check_window();
	check_fresh(0, got);
	check_memory(0, got);
}
END_TEST

/* Somebody lives in the window: a gap, nothing else. */
START_TEST(neighbours)
{
	size_t got, page, next;
	char *theirs;

	ck_assert(arena_init());
	ck_assert_uint_eq(arena_grow(1, &got), 0);
	theirs = mmap((void *)window.next, OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert_ptr_eq(theirs, (void *)window.next);
	*theirs = 'x';
	page = arena_grow(1, &got);
	ck_assert_uint_eq(page, ARENA_PAGES);
	check_memory(page, got);
	/* One that lies further on, and is three arenas long. */
	next = arena_page(window.next) + 3;
	theirs = mmap((void *)arena_addr(next), 3 * ARENA_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
			MAP_NORESERVE,
		-1, 0);
	ck_assert_ptr_eq(theirs, (void *)arena_addr(next));
	page = arena_grow(ARENA_PAGES, &got);
	ck_assert_uint_eq(page, 5 * ARENA_PAGES);
	check_memory(page, got);
	check_window();
	/* Pages in the gaps belong to nobody. */
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP),
		2 * window.grow + got * PAGE_SIZE);
	for (size_t i = ARENA_PAGES + window.grow / PAGE_SIZE;
		i < 5 * ARENA_PAGES; i++)
		MUST(bit(arenas[i / ARENA_PAGES]->inuse, i % ARENA_PAGES));
	ck_assert(!arena_span((uintptr_t)theirs));
}
END_TEST

START_TEST(end_of_the_window)
{
	size_t got;

	ck_assert(arena_init());
	window.max_arenas = 2;
	ck_assert_uint_eq(arena_grow(3 * ARENA_PAGES, &got), SIZE_MAX);
	ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 0);
	ck_assert_uint_eq(arena_grow(2 * ARENA_PAGES - 512, &got), 0);
	ck_assert_uint_eq(got, 2 * ARENA_PAGES - 512);
	ck_assert_uint_eq(arena_grow(513, &got), SIZE_MAX);
	ck_assert_uint_eq(arena_grow(1, &got), 2 * ARENA_PAGES - 512);
	ck_assert_uint_eq(got, 512);
	ck_assert_uint_eq(arena_grow(1, &got), SIZE_MAX);
	ck_assert_uint_eq(arena_grow(SIZE_MAX >> PAGE_SHIFT, &got), SIZE_MAX);
	check_window();
	check_fresh(0, 2 * ARENA_PAGES);
}
END_TEST

static uintptr_t odd[] = {(uintptr_t)-1, 1, PAGE_SIZE - 1, PTRDIFF_MAX};

/* Any address may be asked for. */
START_TEST(no_span_anywhere)
{
	struct rng r = rng_init(2);
	size_t got;

	ck_assert_ptr_null(arena_span(0));
	ck_assert_ptr_null(arena_span(window_base));
	ck_assert(arena_init());
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 10000; i++) {
			uintptr_t p = rng_next(&r) >> rng_below(&r, 64);

			MUST(!arena_span(p));
			MUST(!arena_span(window_base + p));
			MUST(!arena_span(window_base - 1 - p));
		}
		for (size_t i = 0; i < NELEM(odd); i++)
			MUST(!arena_span(window_base + odd[i]));
		ck_assert_uint_lt(
			arena_grow(2 * ARENA_PAGES, &got), window_npages);
	}
}
END_TEST

/* Each request to the kernel refused in turn: as if nothing had been asked. */
START_TEST(refusals)
{
	size_t want = 3 * ARENA_PAGES, got, sys;
	long n = 0;

	for (;; n++) {
		sysmem_fail_after = n;
		if (arena_init())
			break;
		ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 0);
	}
	ck_assert_int_gt(n, 0);
	for (n = 0;; n++) {
		sysmem_fail_after = n;
		if (arena_grow(want, &got) != SIZE_MAX)
			break;
		check_window();
		ck_assert_uint_eq(sysmem_sys(SYS_HEAP), 0);
	}
	ck_assert_int_ge(n, 4); /* three arenas and the memory, at least */
	sysmem_fail_after = -1;
	check_window();
	check_fresh(0, got);
	sys = maps_anonymous();
	ck_assert_uint_ge(sys, sysmem_sys(SYS_HEAP) + sysmem_sys(SYS_GC));
}
END_TEST

static size_t address_space(void)
{
	char line[64] = {0};
	int fd = open("/proc/self/statm", O_RDONLY);

	if (read(fd, line, sizeof(line) - 1) < 0)
		abort();
	close(fd);
	return strtoul(line, NULL, 10) * OS_PAGE;
}

static void limit_to(size_t bytes)
{
	struct rlimit l;

	getrlimit(RLIMIT_AS, &l);
	l.rlim_cur = bytes;
	MUST(!setrlimit(RLIMIT_AS, &l));
}

static size_t grow_until_refused(void)
{
	size_t sum = 0, got, page;

	while ((page = arena_grow(20, &got)) != SIZE_MAX) {
		*(char *)arena_addr(page) = 1;
		sum += got * PAGE_SIZE;
	}
	check_window();
	MUST_EQ(sysmem_sys(SYS_HEAP), window.next - window_base);
	return sum;
}

/* ulimit -v before start: nearly all of it can be had. */
START_TEST(small_address_space)
{
	size_t room = 200 * MIB, sum;

	if (SANITIZED)
		return;
	limit_to(address_space() + room);
	ck_assert(arena_init());
	sum = grow_until_refused();
	ck_assert_uint_le(sum, room);
	ck_assert_uint_ge(sum, room - 8 * MIB);
	/* Refused is not for ever. */
	limit_to(address_space() + 20 * MIB);
	ck_assert_uint_ge(grow_until_refused(), 12 * MIB);
}
END_TEST

/* A program that limits itself later on gets what it allows itself. */
START_TEST(limited_later)
{
	size_t got, before, limit, sum;

	ck_assert(arena_init());
	ck_assert_uint_eq(arena_grow(1000, &got), 0);
	before = address_space();
	limit = before - window.code_cap + 600 * MIB;
	arena_shed(limit);
	check_window();
	if (SANITIZED)
		return;
	ck_assert_uint_lt(address_space(), before - 1 * MIB);
	limit_to(limit);
	sum = grow_until_refused();
	ck_assert_uint_le(sum, 600 * MIB);
	ck_assert_uint_ge(sum, 590 * MIB);
	/* Again, and to more than is left to shed: nothing to do. */
	before = address_space();
	arena_shed(SIZE_MAX);
	ck_assert_uint_eq(address_space(), before);
}
END_TEST

START_TEST(shed_before_start)
{
	arena_shed(GIB);
	ck_assert(arena_init());
	check_window();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arena");
	TCase *tc = new_case(s, "arena");

	tcase_add_test(tc, grows_in_a_row);
	tcase_add_test(tc, more_than_an_arena);
	tcase_add_test(tc, neighbours);
	tcase_add_test(tc, end_of_the_window);
	tcase_add_test(tc, no_span_anywhere);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, small_address_space);
	tcase_add_test(tc, limited_later);
	tcase_add_test(tc, shed_before_start);
	seed_init();
	return run_suite(s);
}
