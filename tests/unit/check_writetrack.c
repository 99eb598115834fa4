/* SPDX-License-Identifier: MIT */
/* Tracked writes against a list of the pages that were written. */
#include "os/writetrack.h"
#include "os/sysmem.h"
#include "os/syscall.h"
#include "support/random.h"
#include "support/run.h"
#include "support/random.h"
#include "support/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 300 };

static struct writetrack t;
static char *mem;
static bool same[PAGES];
static struct rng rng;

static size_t below(size_t n)
{
	return rng_below(&rng, n);
}

static void note(void *arg, uintptr_t lo, uintptr_t hi)
{
	bool *page = arg;

	MUST(lo < hi);
	for (uintptr_t p = lo; p < hi; p += OS_PAGE)
		page[(p - (uintptr_t)mem) / OS_PAGE] = true;
}

static uintptr_t at(size_t page)
{
	return (uintptr_t)mem + page * OS_PAGE;
}

static bool ask(void)
{
	memset(same, 0, sizeof(same));
	return writetrack_each(
		&t, WRITETRACK_SAME, at(0), at(PAGES), note, same);
}

static void begin(void)
{
	enum writetrack_result r;

	rng = rng_init(0);
	mem = mmap(NULL, (size_t)PAGES * OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(mem, MAP_FAILED);
	r = writetrack_begin(&t);
	if (r != WRITETRACK_OK) {
		printf("skipped: %d\n", (int)r);
		exit(EXIT_SUCCESS);
	}
	ck_assert_int_ge(t.uffd.fd, 512);
}

START_TEST(test_model)
{
	bool had[PAGES] = {false}, written[PAGES] = {false};
	bool zeroed[PAGES] = {false};

	begin();
	for (size_t i = 0; i < PAGES; i++)
		if ((had[i] = below(3)))
			mem[i * OS_PAGE] = (char)i;
	ck_assert(writetrack_watch(&t, at(0), at(PAGES)));
	for (int i = 0; i < 100; i++) {
		size_t k = below(PAGES);

		if (below(4)) {
			mem[k * OS_PAGE + below(OS_PAGE)]++;
			written[k] = true;
			zeroed[k] = false;
		} else {
			madvise((void *)at(k), OS_PAGE, MADV_DONTNEED);
			zeroed[k] = true;
		}
	}
	ck_assert(ask());
	for (size_t i = 0; i < PAGES; i++)
		if (!zeroed[i] && (had[i] || written[i]))
			ck_assert_int_eq(same[i], !written[i]);
	writetrack_end(&t, false);
	ck_assert(!ask());
	/* Nothing is protected any more, nor looks as if. */
	memset(mem, 1, (size_t)PAGES * OS_PAGE);
	ck_assert_int_eq(writetrack_begin(&t), WRITETRACK_OK);
	ck_assert(ask());
	for (size_t i = 0; i < PAGES; i++)
		ck_assert(!same[i]);
	writetrack_end(&t, false);
}
END_TEST

/* Writes by the kernel, and memory that is not the same any more. */
START_TEST(test_other_ways)
{
	char *other;
	int fd[2];

	begin();
	memset(mem, 1, (size_t)PAGES * OS_PAGE);
	other = mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(other, 2, OS_PAGE);
	ck_assert(writetrack_watch(&t, at(0), at(PAGES)));
	ck_assert(!pipe(fd));
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ck_assert_int_eq(read(fd[0], mem, 1), 1);
	munmap((void *)at(2), OS_PAGE);
	ck_assert_ptr_ne(mmap((void *)at(4), OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), MAP_FAILED);
	ck_assert_ptr_ne(mremap(other, OS_PAGE, OS_PAGE,
		MREMAP_MAYMOVE | MREMAP_FIXED, at(6)), MAP_FAILED);
	ck_assert_ptr_ne(mremap((void *)at(10), OS_PAGE, OS_PAGE,
		MREMAP_MAYMOVE | MREMAP_FIXED, at(8)), MAP_FAILED);
	mprotect((void *)at(12), OS_PAGE, PROT_READ);
	ck_assert(ask());
	for (size_t i = 0; i < 14; i++)
		ck_assert_int_eq(same[i],
			i % 2 || i == 12); /* 10 has gone, 8 is another */
	writetrack_end(&t, false);
}
END_TEST

/* A child must not end its parent's tracking, nor be tracked. */
START_TEST(test_fork)
{
	int status, pid;

	begin();
	memset(mem, 1, (size_t)PAGES * OS_PAGE);
	ck_assert(writetrack_watch(&t, at(0), at(PAGES)));
	pid = fork();
	if (pid == 0) {
		mem[0] = 2;
		writetrack_end(&t, true);
		_exit(fcntl(512, F_GETFD) == -1 ? 7 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 7);
	mem[OS_PAGE] = 2;
	ck_assert(ask());
	for (size_t i = 0; i < PAGES; i++)
		ck_assert_int_eq(same[i], i != 1);
	writetrack_end(&t, false);
}
END_TEST

/* A program that closes what it finds. */
START_TEST(test_closed)
{
	begin();
	memset(mem, 1, (size_t)PAGES * OS_PAGE);
	ck_assert(writetrack_watch(&t, at(0), at(PAGES)));
	close(t.uffd.fd);
	ck_assert(ask());
	for (size_t i = 0; i < PAGES; i++)
		ck_assert(!same[i]);
	ck_assert(!writetrack_watch(&t, at(0), at(PAGES)));
	writetrack_end(&t, false);
}
END_TEST

START_TEST(test_refused)
{
	writetrack_refuse = WRITETRACK_OLD;
	ck_assert_int_eq(writetrack_begin(&t), WRITETRACK_OLD);
	ck_assert_int_eq(t.uffd.fd, -1);
	writetrack_end(&t, false);
}
END_TEST

START_TEST(test_read)
{
	char buf[3 * OS_PAGE];

	mem = mmap(NULL, (size_t)PAGES * OS_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(mem, 3, (size_t)PAGES * OS_PAGE);
	munmap((void *)at(1), OS_PAGE);
	ck_assert_uint_eq(
		writetrack_read(buf, at(0), sizeof(buf)), (size_t)OS_PAGE);
	ck_assert_int_eq(buf[OS_PAGE - 1], 3);
	ck_assert_uint_eq(writetrack_read(buf, at(1), 8), 0);
	ck_assert_uint_eq(writetrack_read(buf, at(2) + 5, 8), 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("writetrack");
	TCase *tc = new_case(s, "writetrack");

	seed_init();
	tcase_add_test(tc, test_model);
	tcase_add_test(tc, test_other_ways);
	tcase_add_test(tc, test_fork);
	tcase_add_test(tc, test_closed);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_read);
	return run_suite(s);
}
