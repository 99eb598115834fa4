/* SPDX-License-Identifier: MIT */
/* stacktab and bucket against naive models, alone and with eight threads. */
#include "profile/bucket.h"
#include "profile/stacktab.h"
#include "support/sanitizer.h"
#include "os/sysmem.h"

#include <check.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Stack number i of a family: n frames that share outer parts with others. */
static size_t make(uint32_t i, uintptr_t *pc)
{
	uint32_t h = i * 2654435761u;
	size_t n = 1 + i % 61;

	for (size_t k = 0; k < n; k++) /* k counts from the outer end */
		pc[n - 1 - k] = 0x400000 +
				(k < 20 ? k * 64 + i % 5 : (h >> (k % 20)) + k);
	return n;
}

START_TEST(equal_stacks_equal_ids)
{
	enum { N = 20000 };
	static uint32_t id[N];
	static uint8_t first[N];
	uintptr_t pc[STACK_MAX], back[STACK_MAX], other[STACK_MAX];
	unsigned seed = 11;

	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < N; i++) {
			size_t n = make(i, pc);
			uint32_t got = stacktab_intern(pc, n, 0);

			ck_assert_uint_ne(got, 0);
			ck_assert(!round || got == id[i]);
			id[i] = got;
			first[i] = (uint8_t)pc[0];
			ck_assert_uint_eq(
				stacktab_frames(got, back, STACK_MAX), n);
			ck_assert(!memcmp(pc, back, n * sizeof(*pc)));
		}
	}
	/* Ids are equal exactly where frames are. */
	for (int k = 0; k < 200000; k++) {
		uint32_t a = (uint32_t)rand_r(&seed) % N;
		uint32_t b = k % 2 ? (uint32_t)rand_r(&seed) % N : a ^ 1;
		size_t na, nb;
		bool same;

		if (b >= N || (first[a] != first[b] && k % 16))
			continue;
		na = make(a, pc);
		nb = make(b, other);
		same = na == nb && !memcmp(pc, other, na * sizeof(*pc));
		ck_assert_int_eq(same, id[a] == id[b]);
	}
	stacktab_check();
}
END_TEST

START_TEST(lengths_and_generations)
{
	uintptr_t pc[STACK_MAX + 10], back[STACK_MAX + 10];
	uint32_t seen[STACK_MAX + 1];

	for (size_t i = 0; i < STACK_MAX + 10; i++)
		pc[i] = 0x1000 + i / 3; /* repeats, as recursion does */
	ck_assert_uint_eq(stacktab_intern(pc, 0, 0), 0);
	ck_assert_uint_eq(stacktab_frames(0, back, 10), 0);
	for (size_t n = 1; n <= STACK_MAX; n++) {
		size_t have;

		seen[n] = stacktab_intern(pc, n, 3);
		have = stacktab_frames(seen[n], back, STACK_MAX);
		ck_assert_uint_eq(have, n);
		ck_assert(!memcmp(pc, back, n * sizeof(*pc)));
		ck_assert_uint_eq(stacktab_generation(seen[n]), 3);
		for (size_t k = 1; k < n; k++)
			ck_assert_uint_ne(seen[k], seen[n]);
		/* A copy may be short; the length is told in full. */
		back[2] = 77;
		ck_assert_uint_eq(stacktab_frames(seen[n], back, 2), n);
		ck_assert_uint_eq(back[2], 77);
	}
	ck_assert_uint_eq(
		stacktab_intern(pc, STACK_MAX + 10, 3), seen[STACK_MAX]);
	ck_assert_uint_ne(stacktab_intern(pc, 30, 4), seen[30]);
	ck_assert_uint_eq(stacktab_intern(pc, 30, 3), seen[30]);
	ck_assert_uint_eq(stacktab_generation(stacktab_intern(pc, 30, 4)), 4);
	stacktab_check();
}
END_TEST

START_TEST(block_by_block)
{
	uintptr_t pc[30], reversed[30];
	uint32_t id = stacktab_root(9);

	for (size_t i = 0; i < 30; i++)
		reversed[29 - i] = pc[i] = 0x7000 + i * i;
	for (size_t at = 0, n; at < 30; at += n) {
		uint64_t h = id;

		n = MIN(30 - at, (size_t)STACK_BLOCK);
		for (size_t i = at; i < at + n; i++)
			h = stacktab_mix(h, pc[i]);
		id = stacktab_add(id, h, pc + at, n);
	}
	ck_assert_uint_eq(id, stacktab_intern(reversed, 30, 9));
}
END_TEST

/* Sharing is what blocks are for: an inner frame more costs one block. */
START_TEST(outer_parts_are_shared)
{
	uintptr_t pc[80];
	size_t before;

	for (size_t i = 0; i < 80; i++)
		pc[i] = 0x9000 + i;
	stacktab_intern(pc, 80, 0);
	before = stacktab_count();
	pc[0] = 1;
	stacktab_intern(pc, 80, 0);
	ck_assert_uint_eq(stacktab_count(), before + 1);
	pc[STACK_BLOCK] = 2;
	stacktab_intern(pc, 80, 0);
	ck_assert_uint_eq(stacktab_count(), before + 3);
}
END_TEST

enum { NTHREAD = 8, EACH = 30000, FAMILY = 40000 };

static uint32_t ids[NTHREAD][FAMILY];
static pthread_barrier_t barrier;

static void *intern_many(void *arg)
{
	uint32_t *mine = ids[(uintptr_t)arg];
	unsigned seed = (unsigned)(uintptr_t)arg;
	uintptr_t pc[STACK_MAX];

	pthread_barrier_wait(&barrier);
	for (uint32_t k = 0; k < EACH; k++) {
		/* Half of them in step with the others, half anywhere. */
		uint32_t i = k & 1 ? k : (uint32_t)rand_r(&seed) % FAMILY;
		size_t n = make(i, pc);
		uint32_t id = stacktab_intern(pc, n, 0);
		struct bucket *b = bucket_get(id, 16 + i % 3);

		if (!id || !b || (mine[i] && mine[i] != id))
			abort();
		bucket_allocated(b, 1, 16 + i % 3);
		if (k % 4 == 0)
			bucket_freed(b, 1, 16 + i % 3);
		mine[i] = id;
	}
	return NULL;
}

START_TEST(eight_threads)
{
	uint64_t allocs = 0, frees = 0, bytes = 0;
	pthread_t t[NTHREAD];

	pthread_barrier_init(&barrier, NULL, NTHREAD);
	for (uintptr_t i = 0; i < NTHREAD; i++)
		pthread_create(&t[i], NULL, intern_many, (void *)i);
	for (size_t i = 0; i < NTHREAD; i++)
		pthread_join(t[i], NULL);
	for (uint32_t i = 0; i < FAMILY; i++) {
		uintptr_t pc[STACK_MAX];
		uint32_t id = stacktab_intern(pc, make(i, pc), 0);

		for (size_t k = 0; k < NTHREAD; k++)
			ck_assert(!ids[k][i] || ids[k][i] == id);
	}
	stacktab_check();
	for (size_t i = 0; i < bucket_count(); i++) {
		struct bucket *b = bucket_at(i);

		if (!b)
			continue;
		ck_assert_ptr_eq(bucket_get(b->stack, b->size), b);
		ck_assert_uint_eq(b->alloc_bytes, b->allocs * b->size);
		ck_assert_uint_eq(b->free_bytes, b->frees * b->size);
		allocs += b->allocs;
		frees += b->frees;
		bytes += b->alloc_bytes;
	}
	ck_assert_uint_eq(allocs, NTHREAD * EACH);
	ck_assert_uint_eq(frees, NTHREAD * EACH / 4);
	ck_assert_uint_ge(bytes, allocs * 16);
}
END_TEST

START_TEST(buckets)
{
	uintptr_t pc[] = {0x5000, 0x5001};
	uint32_t a = stacktab_intern(pc, 2, 0), b = stacktab_intern(pc, 1, 0);
	struct bucket *first = bucket_get(a, 16);

	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(first->stack, a);
	ck_assert_uint_eq(first->size, 16);
	ck_assert_uint_eq(first->allocs, 0);
	ck_assert_ptr_ne(bucket_get(a, 32), first);
	ck_assert_ptr_ne(bucket_get(b, 16), first);
	ck_assert_ptr_eq(bucket_get(a, 16), first);
	ck_assert_uint_eq(bucket_count(), 3);
	ck_assert_ptr_null(bucket_get(0, 16));
}
END_TEST

/* The processor's single-step mode, as in check_unwind.c. */
void single_step(uint64_t flag);
__asm__(".text\n"
	"single_step:\n"
	"	pushfq\n"
	"	andq $~0x100, (%rsp)\n"
	"	orq %rdi, (%rsp)\n"
	"	popfq\n"
	"	ret\n");

/* A step takes long where each signal goes through a sanitizer's hands. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEPPED = 2 };
#else
enum { STEPPED = 25 };
#endif

static uint32_t steps, interned;
static volatile int leave_after;
static sigjmp_buf out;

/*
 * Not at every step: a loop that tries again when somebody else was faster
 * would never end if somebody else always was.
 */
static void on_step(int sig)
{
	uintptr_t pc[STACK_MAX];

	(void)sig;
	if (++steps % 23 == 0) {
		if (!stacktab_intern(pc, make(interned, pc), 1))
			abort();
		interned++;
	}
	if (leave_after && !--leave_after)
		siglongjmp(out, 1);
}

/* Interrupted all the time by a handler that interns, too. */
START_TEST(signals_in_between)
{
	struct sigaction sa = {.sa_handler = on_step};
	uintptr_t pc[STACK_MAX], back[STACK_MAX];

	sigaction(SIGTRAP, &sa, NULL);
	for (uint32_t i = 0; i < STEPPED; i++) {
		size_t n = make(1000000 + i, pc);
		uint32_t id;

		single_step(0x100);
		id = stacktab_intern(pc, n, 1);
		single_step(0);
		ck_assert_uint_eq(id, stacktab_intern(pc, n, 1));
		ck_assert_uint_eq(stacktab_frames(id, back, STACK_MAX), n);
		ck_assert(!memcmp(pc, back, n * sizeof(*pc)));
	}
	ck_assert_uint_gt(interned, 8 * STEPPED);
	stacktab_check();
}
END_TEST

/* Left in the middle for good, at any instruction: the table still works. */
START_TEST(abandoned)
{
	struct sigaction sa = {.sa_handler = on_step};
	uintptr_t pc[STACK_MAX];

	sigaction(SIGTRAP, &sa, NULL);
	for (volatile uint32_t i = 1; i < 700; i += 11) {
		size_t n = make(2000000 + i, pc);

		leave_after = (int)i;
		if (!sigsetjmp(out, 1)) {
			single_step(0x100);
			stacktab_intern(pc, n, 1);
			single_step(0);
		}
		ck_assert_uint_ne(stacktab_intern(pc, n, 1), 0);
		ck_assert_uint_eq(
			stacktab_intern(pc, n, 1), stacktab_intern(pc, n, 1));
	}
}
END_TEST

START_TEST(no_memory)
{
	uintptr_t pc[STACK_MAX];
	size_t before;
	uint32_t i;

	make(5, pc);
	sysmem_fail_after = 0;
	ck_assert_uint_eq(stacktab_intern(pc, 3, 0), 0);
	sysmem_fail_after = 1;
	ck_assert_uint_ne(stacktab_intern(pc, 3, 0), 0);
	ck_assert_ptr_null(bucket_get(stacktab_intern(pc, 3, 0), 8));
	/* One chunk's worth, then nothing more; what is there stays. */
	for (i = 0; stacktab_intern(pc, make(i, pc), 0); i++)
		ck_assert_uint_lt(i, 1000000);
	ck_assert_uint_gt(i, 500);
	before = stacktab_count();
	ck_assert_uint_ne(stacktab_intern(pc, make(0, pc), 0), 0);
	sysmem_fail_after = -1;
	ck_assert_uint_ne(stacktab_intern(pc, make(i, pc), 0), 0);
	ck_assert_uint_gt(stacktab_count(), before);
	stacktab_check();
}
END_TEST

/* In the child of fork the table is whole, whatever other threads did. */
static bool stop;

static void *intern_on(void *arg)
{
	uintptr_t pc[STACK_MAX];

	for (uint32_t i = (uint32_t)(uintptr_t)arg; !load_relaxed(&stop);
		i += 2)
		stacktab_intern(pc, make(i, pc), 2);
	return NULL;
}

START_TEST(forks)
{
	pthread_t t[2];

	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, intern_on, (void *)i);
	for (int i = 0; i < 40; i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			uintptr_t pc[STACK_MAX];

			for (uint32_t k = 0; k < 500; k++)
				if (!stacktab_intern(pc, make(k, pc), 7))
					_exit(1);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert_int_eq(status, 0);
	}
	store_relaxed(&stop, true);
	for (size_t i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	stacktab_check();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stacktab");
	TCase *tc = tcase_create("stacktab");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, equal_stacks_equal_ids);
	tcase_add_test(tc, lengths_and_generations);
	tcase_add_test(tc, block_by_block);
	tcase_add_test(tc, outer_parts_are_shared);
	tcase_add_test(tc, eight_threads);
	tcase_add_test(tc, buckets);
	if (!SANITIZED) /* each step would take thousands */
		tcase_add_test(tc, signals_in_between);
	if (!SIGNALS_COME_LATE)
		tcase_add_test(tc, abandoned);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, forks);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
