/* SPDX-License-Identifier: MIT */
/* The list against a map of pages, and what a copy gets to see. */
#include "gc/unforked.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "support/random.h"
#include "support/run.h"

#include <sys/mman.h>

enum { PAGES = 2000, NONE = 0, LOST, EMPTY };
#define BASE ((uintptr_t)0x700000000000)

static char model[PAGES];

static uintptr_t page(size_t i)
{
	return BASE + i * OS_PAGE;
}

/* Does the list have just the pages that the program has said? */
static void compare(void)
{
	static char seen[PAGES];
	uintptr_t lo, hi;

	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < unforked_n; i++)
		if (unforked_lost(i, &lo, &hi))
			for (; lo < hi; lo += OS_PAGE)
				seen[(lo - BASE) / OS_PAGE] = 1;
	for (size_t i = 0; i < PAGES; i++)
		MUST_EQ(seen[i], model[i] == LOST);
}

START_TEST(test_model)
{
	struct rng r = rng_init(1);

	for (int i = 0; i < 20000; i++) {
		size_t at = rng_below(&r, PAGES), n = rng_log(&r, 100);
		size_t end = MIN(at + n, (size_t)PAGES);
		int what = (int)rng_below(&r, 3);

		/* Whatever it was before, it was unmapped. */
		unforked_remove(page(at), page(end));
		if (what)
			unforked_add(page(at), page(end), what == EMPTY);
		memset(&model[at], what, end - at);
		if (i % 50 == 0)
			compare();
	}
	/* A slot that is empty again is used again. */
	ck_assert_uint_lt(unforked_n, PAGES);
	unforked_remove(page(0), page(PAGES));
	memset(model, NONE, sizeof(model));
	compare();
}
END_TEST

static bool has_it(void *p)
{
	unsigned char v;

	return !sys_failed(sys3(SYS_mincore, p, OS_PAGE, &v)) && *(int *)p == 7;
}

static bool lacks_it(void *p)
{
	unsigned char v;

	return sys_failed(sys3(SYS_mincore, p, OS_PAGE, &v));
}

START_TEST(test_copy)
{
	char *p = mmap(NULL, 8 * OS_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *gone = p + 4 * OS_PAGE;

	ck_assert_int_eq(madvise(p, 8 * OS_PAGE, MADV_DONTFORK), 0);
	unforked_add((uintptr_t)p, (uintptr_t)p + 8 * OS_PAGE, true);
	mprotect(p, 8 * OS_PAGE, PROT_READ | PROT_WRITE);
	*(int *)p = 7;
	/* The rest is somebody else's by now. */
	unforked_remove((uintptr_t)gone, (uintptr_t)p + 8 * OS_PAGE);
	munmap(gone, 4 * OS_PAGE);
	ck_assert_ptr_eq(
		mmap(gone, OS_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		gone);
	*(int *)gone = 7;
	in_child(lacks_it, p);
	unforked_admit();
	in_child(has_it, p);
	in_child(has_it, gone);
	unforked_expel();
	in_child(lacks_it, p);
	in_child(has_it, gone);
	/* A child of the program has none of it, and says so. */
	unforked_postfork_child();
	unforked_admit();
	in_child(lacks_it, p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("unforked");
	TCase *tc = new_case(s, "unforked");

	seed_init();
	tcase_add_test(tc, test_model);
	tcase_add_test(tc, test_copy);
	return run_suite(s);
}
