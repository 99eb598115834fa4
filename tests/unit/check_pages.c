/* SPDX-License-Identifier: MIT */
/* All three ways of asking, against a model of which pages were touched. */
#include "os/pages.h"
#include "os/sysmem.h"
#include "support/random.h"
#include "support/run.h"

#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 20000 };

static struct pages p;
static bool model[PAGES];

/* Does a walk over pages [first, last) say what the model says? */
static void compare(const char *base, size_t first, size_t last,
	enum pages_how how, enum pages_which which)
{
	uintptr_t at = (uintptr_t)base, lo, hi, before = 0;
	size_t i = first;

	pages_open(&p);
	if (p.how > how)
		return; /* this kernel can't */
	p.how = how;
	pages_begin(&p, at + first * OS_PAGE, at + last * OS_PAGE, which);
	while (pages_next(&p, &lo, &hi)) {
		MUST(lo < hi && lo > before);
		for (; i < (lo - at) / OS_PAGE; i++)
			MUST(!model[i]);
		for (; i < (hi - at) / OS_PAGE; i++)
			MUST(model[i]);
		before = hi;
	}
	for (; i < last; i++)
		MUST(!model[i]);
	pages_close(&p);
}

static void compare_all(const char *base, struct rng *r, enum pages_which which)
{
	enum pages_how last =
		which == PAGES_OWN ? PAGES_PAGEMAP : PAGES_MINCORE;

	for (int how = PAGES_SCAN; how <= (int)last; how++) {
		compare(base, 0, PAGES, (enum pages_how)how, which);
		for (int i = 0; i < 50; i++) {
			size_t a = rng_below(r, PAGES);
			size_t b = a + 1 + rng_below(r, PAGES - a);

			compare(base, a, b, (enum pages_how)how, which);
		}
	}
}

START_TEST(test_anonymous)
{
	struct rng r = rng_init(1);
	char *base = mmap(NULL, (size_t)PAGES * OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	madvise(base, (size_t)PAGES * OS_PAGE, MADV_NOHUGEPAGE);
	/* Single pages, short runs, long ones; then holes. */
	for (int i = 0; i < 500; i++) {
		size_t at = rng_below(&r, PAGES), n = rng_log(&r, 1000);

		for (; n-- > 0 && at < PAGES; at++) {
			base[at * OS_PAGE] = 1;
			model[at] = true;
		}
		if (i % 3)
			continue;
		at = rng_below(&r, PAGES);
		n = rng_log(&r, 1000);
		n = MIN(n, PAGES - at);
		madvise(base + at * OS_PAGE, n * OS_PAGE, MADV_DONTNEED);
		memset(&model[at], 0, n);
	}
	compare_all(base, &r, PAGES_ANY);
	mprotect(base, (size_t)PAGES / 2 * OS_PAGE, PROT_NONE);
	compare_all(base, &r, PAGES_ANY);
}
END_TEST

/* Of a file that is mapped privately, only what has been written. */
START_TEST(test_file)
{
	struct rng r = rng_init(2);
	int fd = memfd_create("pages", 0);
	char *base;
	int sum = 0;

	ck_assert_int_eq(ftruncate(fd, (off_t)PAGES * OS_PAGE), 0);
	base = mmap(NULL, (size_t)PAGES * OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE, fd, 0);
	for (int i = 0; i < 2000; i++) {
		size_t at = rng_below(&r, PAGES);

		sum += base[at * OS_PAGE];
		at = rng_below(&r, PAGES);
		base[at * OS_PAGE] = 1;
		model[at] = true;
	}
	ck_assert_int_le(sum, 2000);
	compare_all(base, &r, PAGES_OWN);
}
END_TEST

/* What is not mapped has no pages. */
/* Small pages become a huge one, where the kernel does that and tells of it. */
START_TEST(test_small)
{
	size_t bytes = 2 * (size_t)HUGE_PAGE;
	char *map = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *base = (char *)ALIGN_UP((uintptr_t)map, (uintptr_t)HUGE_PAGE);
	uintptr_t lo, hi;

	madvise(map, bytes + HUGE_PAGE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < bytes; i += OS_PAGE)
		base[i] = (char)(i / OS_PAGE);
	madvise(map, bytes + HUGE_PAGE, MADV_HUGEPAGE);
	pages_open(&p);
	pages_begin(&p, (uintptr_t)base, (uintptr_t)base + bytes, PAGES_SMALL);
	/* The kernel's own daemon may have been there before, on either block. */
	if (p.how == PAGES_SCAN && pages_next(&p, &lo, &hi) &&
		sysmem_collapse(base, HUGE_PAGE)) {
		ck_assert_uint_ge(lo, (uintptr_t)base);
		ck_assert_uint_le(hi, (uintptr_t)base + bytes);
		pages_begin(&p, (uintptr_t)base, (uintptr_t)base + bytes,
			PAGES_SMALL);
		while (pages_next(&p, &lo, &hi))
			ck_assert_uint_ge(lo, (uintptr_t)base + HUGE_PAGE);
	}
	for (size_t i = 0; i < bytes; i += OS_PAGE)
		ck_assert_int_eq(base[i], (char)(i / OS_PAGE));
	/* Who can't be asked that says nothing. */
	p.how = PAGES_PAGEMAP;
	pages_begin(&p, (uintptr_t)base, (uintptr_t)base + bytes, PAGES_SMALL);
	ck_assert(!pages_next(&p, &lo, &hi));
	pages_close(&p);
	munmap(map, bytes + HUGE_PAGE);
}
END_TEST

START_TEST(test_unmapped)
{
	char *base = mmap(NULL, (size_t)PAGES * OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	base[0] = base[100 * OS_PAGE] = base[300 * OS_PAGE] = 1;
	munmap(base + 100 * OS_PAGE, 200 * OS_PAGE);
	model[0] = model[300] = true;
	compare(base, 0, PAGES, PAGES_SCAN, PAGES_ANY);
	compare(base, 0, PAGES, PAGES_PAGEMAP, PAGES_ANY);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pages");
	TCase *tc = new_case(s, "pages");

	seed_init();
	tcase_add_test(tc, test_anonymous);
	tcase_add_test(tc, test_file);
	tcase_add_test(tc, test_small);
	tcase_add_test(tc, test_unmapped);
	return run_suite(s);
}
