/* SPDX-License-Identifier: MIT */
/* Every place a program can keep a pointer in is found, and put in its kind. */
#include "gc/roots.h"
#include "alloc/heap.h"
#include "base/atomics.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "support/collect.h"
#include "support/random.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint32_t quit;

/* -------- globals -------- */

static void *data = &data;
static void *bss[2];
static void *const relro = &data;
static __thread void *tls = &data;

START_TEST(test_globals)
{
	void *brk = sbrk(PAGE);
	const uint32_t global = 1u << ROOT_GLOBALS;

	bss[1] = brk;
	*(void **)brk = brk;
	collect();
	ck_assert_uint_eq(kinds(&data), global);
	ck_assert_uint_eq(kinds(&bss[1]), global);
	ck_assert_uint_eq(kinds(brk), global);
	ck_assert_uint_eq(kinds((const void *)&relro), global);
	/* libc's and the loader's */
	ck_assert_uint_eq(kinds(&stdout->_IO_read_ptr), global);
	/* code has no pointers to objects */
	ck_assert_uint_eq(kinds((const void *)(uintptr_t)collect), 0);
	ck_assert_uint_eq(kinds("constant"), 0);
	roots_free(&rs);
}
END_TEST

START_TEST(test_self)
{
	uintptr_t lo = MIN((uintptr_t)&data, (uintptr_t)&bss[0]);
	uintptr_t hi = MAX((uintptr_t)&data, (uintptr_t)&bss[2]);

	roots_set_self(
		ALIGN_DOWN(lo, (uintptr_t)PAGE), ALIGN_UP(hi, (uintptr_t)PAGE));
	collect();
	ck_assert_uint_eq(kinds(&data), 0);
	ck_assert_uint_eq(kinds(heap_malloc(100)), 0);
	ck_assert_uint_eq(
		rootset_find(&rs, (uintptr_t)heap_malloc(100)), SIZE_MAX);
	ck_assert_uint_eq(
		rootset_find(&rs, (uintptr_t)rootset_ranges(&rs)), SIZE_MAX);
	ck_assert_uint_eq(kinds(rootset_ranges(&rs)), 0);
	roots_free(&rs);
}
END_TEST

/* -------- threads -------- */

struct sleeper {
	sem_t up;
	void **local, **thread_local;
	char *dead; /* far below its stack pointer */
	void *arg;
	int tid;
};

static void *sleep_thread(void *arg)
{
	struct sleeper *s = arg;
	void *volatile here = arg;

	tls = arg;
	s->tid = (int)sys0(SYS_gettid);
	s->local = (void **)&here;
	s->thread_local = &tls;
	s->dead = (char *)__builtin_frame_address(0) - 24576;
	sem_post(&s->up);
	while (!load_relaxed(&quit))
		usleep(1000);
	return here;
}

static void check_sleeper(const struct sleeper *s)
{
	char name[32];

	ck_assert_uint_eq(kinds(s->local), 1u << ROOT_STACK);
	ck_assert_uint_eq(kinds(s->thread_local), 1u << ROOT_TLS);
	ck_assert_uint_eq(kinds(s->dead), 0);
	ck_assert_uint_eq(rootset_find(&rs, (uintptr_t)s->dead), SIZE_MAX);
	for (size_t i = 0; i < rs.ranges.n; i++) {
		const struct root_range *r = &rootset_ranges(&rs)[i];

		if ((uintptr_t)s->local - r->lo >= r->hi - r->lo)
			continue;
		ck_assert_int_eq(r->tid, s->tid);
		snprintf(name, sizeof(name), "thread %d", s->tid);
		ck_assert_str_eq(rootset_name(&rs, r->name), name);
	}
}

/* In the copy Check's own messages would get lost. */
static bool collect_in_copy(void *arg)
{
	const struct sleeper *s = arg;

	if (!roots_collect(&rs, &w))
		return false;
	rootset_check(&rs);
	for (unsigned i = 0; i < w.n; i++)
		if (kinds(s[i].local) != 1u << ROOT_STACK ||
			kinds(s[i].thread_local) != 1u << ROOT_TLS ||
			kinds(s[i].dead) != 0)
			return false;
	return w.n == 300;
}

/* One on a stack of libc's, one on the program's, next to other things. */
START_TEST(test_threads)
{
	static struct sleeper s[2];
	char *own = map_alone(1 << 20, MAP_PRIVATE);
	void *local = &s;
	pthread_attr_t attr;
	pthread_t t[2];

	pthread_attr_init(&attr);
	own[0] = own[(1 << 20) - 1] = 1;
	for (int i = 0; i < 2; i++) {
		sem_init(&s[i].up, 0, 0);
		if (i == 1)
			pthread_attr_setstack(
				&attr, own + (256 << 10), 512 << 10);
		ck_assert_int_eq(
			pthread_create(&t[i], &attr, sleep_thread, &s[i]), 0);
		sem_wait(&s[i].up);
	}
	memset(s[1].dead, 1, 100);
	collect();
	check_sleeper(&s[0]);
	check_sleeper(&s[1]);
	ck_assert(in_piece(own));
	ck_assert(in_piece(own + (1 << 20) - 1));
	ck_assert_uint_eq(kinds(&local), 1u << ROOT_STACK);
	/* Of the main thread: its mapping may touch that of a library's bss. */
	ck_assert_uint_ne(kinds(&tls) & 1u << ROOT_TLS, 0);
	ck_assert_uint_eq(rs.unstopped, 0);
	store_relaxed(&quit, 1);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	roots_free(&rs);
}
END_TEST

/* A busy thread's are in the frame of the signal that has stopped it. */
static void *busy_thread(void *arg)
{
	struct sleeper *s = arg;

	sem_post(&s->up);
	/* the address of arg, + 1, is in one register and nowhere else */
	__asm__ volatile("lea	1(%0), %%r13\n"
			 "	movl	$1, %2\n"
			 "1:	cmpl	$0, %1\n"
			 "	je	1b\n"
			 :
			 : "r"(s->arg), "m"(quit), "m"(s->tid)
			 : "r13", "memory", "cc");
	return NULL;
}

/* The kinds of a thread's words with this value, wherever they lie. */
static uint32_t kinds_with(uintptr_t value)
{
	uint32_t found = 0;

	for (size_t i = 0; i < rs.ranges.n; i++) {
		const struct root_range *r = &rootset_ranges(&rs)[i];
		const uintptr_t *p = (const uintptr_t *)r->lo;

		for (; r->tid && p < (const uintptr_t *)r->hi; p++)
			if (*p == value)
				found |= 1u << r->kind;
	}
	return found;
}

START_TEST(test_frame)
{
	static struct sleeper s;
	pthread_t t;
	uint32_t found;

	sem_init(&s.up, 0, 0);
	s.arg = map_alone(PAGE, MAP_PRIVATE);
	pthread_create(&t, NULL, busy_thread, &s);
	sem_wait(&s.up);
	while (!load_relaxed(&s.tid))
		usleep(100); /* the word is in its place then */
	modules_refresh();
	ck_assert(roots_prepare(&rs));
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	roots_freeze(&rs, &w);
	roots_collect(&rs, &w);
	found = kinds_with((uintptr_t)s.arg + 1);
	stw_start(&w);
	store_relaxed(&quit, 1);
	pthread_join(t, NULL);
	ck_assert_uint_eq(found, 1u << ROOT_REGISTERS);
	roots_free(&rs);
}
END_TEST

/* Threads that have ended: their results count, their stacks don't. */
static void *ending_thread(void *arg)
{
	struct sleeper *s = arg;
	void *volatile here = arg;

	tls = arg;
	s->local = (void **)&here;
	s->thread_local = &tls;
	return s->arg;
}

START_TEST(test_ended)
{
	enum { N = 4 };
	static struct sleeper s[N];
	pthread_t t[N];
	uintptr_t result[N];

	for (int i = 0; i < N; i++) {
		s[i].arg = map_alone(PAGE, MAP_PRIVATE);
		result[i] = (uintptr_t)s[i].arg;
		pthread_create(&t[i], NULL, ending_thread, &s[i]);
	}
	/* Two are joined, two are not. */
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	do
		collect();
	while (w.n > 0);
#if __GLIBC_PREREQ(2, 34)
	ck_assert_ptr_nonnull(roots_libc.ring);
#endif
	for (int i = 0; i < N && roots_libc.ring; i++) {
		ck_assert_int_eq(has_word(result[i], ROOT_TLS), i >= 2);
		ck_assert_uint_eq(kinds(s[i].local), 0);
		ck_assert_uint_eq(kinds(s[i].thread_local), 0);
		ck_assert_uint_eq(
			rootset_find(&rs, (uintptr_t)s[i].local), SIZE_MAX);
	}
	roots_free(&rs);
}
END_TEST

/* Many threads, as many that have ended, from a copy of the process. */
START_TEST(test_many)
{
	enum { N = 300 };
	static struct sleeper s[N];
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < N; i++) {
		sem_init(&s[i].up, 0, 0);
		ck_assert_int_eq(
			pthread_create(&t, &attr, sleep_thread, &s[i]), 0);
		sem_wait(&s[i].up);
	}
	modules_refresh();
	ck_assert(roots_prepare(&rs));
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	roots_freeze(&rs, &w);
	in_child(collect_in_copy, s);
	stw_start(&w);
	store_relaxed(&quit, 1);
	roots_free(&rs);
}
END_TEST

/* The caller's own callee-saved registers: words. */
START_TEST(test_registers)
{
	uintptr_t magic = (uintptr_t)0x5a5ac0dedead0000, found = 0;

	modules_refresh();
	ck_assert(roots_prepare(&rs));
	__asm__ volatile("movq %0, %%r12" : : "r"(magic) : "r12");
	found = stw_stop(&w, LONG) == STW_OK && roots_freeze(&rs, &w);
	w.self_regs[2] = magic; /* the compiler may have used r12 */
	found = found && roots_collect(&rs, &w);
	stw_start(&w);
	ck_assert(found);
	ck_assert(has_word(magic, ROOT_REGISTERS));
	roots_free(&rs);
}
END_TEST

/* -------- mappings -------- */

START_TEST(test_mapping)
{
	char *p = map_alone(16 * PAGE, MAP_PRIVATE);
	char *q = map_alone(PAGE, MAP_PRIVATE);
	size_t i;

	p[0] = p[5 * PAGE] = p[9 * PAGE] = q[0] = 1;
	/* A guard page and a read-only one don't part it. */
	ck_assert_int_eq(mprotect(p + 3 * PAGE, PAGE, PROT_NONE), 0);
	ck_assert_int_eq(mprotect(p + 5 * PAGE, PAGE, PROT_READ), 0);
	collect();
	i = rootset_find(&rs, (uintptr_t)p);
	ck_assert_uint_ne(i, SIZE_MAX);
	ck_assert_uint_eq(rootset_mappings(&rs)[i].lo, (uintptr_t)p);
	ck_assert_uint_eq(
		rootset_mappings(&rs)[i].hi, (uintptr_t)p + 16 * PAGE);
	ck_assert_uint_eq(rootset_find(&rs, (uintptr_t)p + 16 * PAGE - 1), i);
	ck_assert_uint_ne(rootset_find(&rs, (uintptr_t)q), i);
	for (int k = 0; k < 16; k++)
		ck_assert_int_eq(
			in_piece(p + k * PAGE + 8), k == 0 || k == 5 || k == 9);
	roots_free(&rs);
}
END_TEST

/* V8 and others map at random addresses, also in our parts of the space. */
START_TEST(test_random)
{
	char *ours[2] = {heap_malloc(100), sysmem_map(NULL, PAGE, SYS_GC)};

	for (int i = 0; i < 2; i++) {
		char *want =
			(char *)(((uintptr_t)ours[i] + ((uintptr_t)8 << 30)) &
				 -(uintptr_t)PAGE);
		char *p = mmap(want, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0);

		ck_assert_ptr_eq(p, want);
		p[PAGE] = 1;
		collect();
		ck_assert(in_piece(p + PAGE));
		ck_assert_uint_eq(
			rootset_find(&rs, (uintptr_t)ours[i]), SIZE_MAX);
	}
	roots_free(&rs);
}
END_TEST

/* A terabyte with three pages in it. */
START_TEST(test_sparse)
{
	const size_t size = (size_t)1 << 40;
	char *p =
		map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
	struct bytes b = {0, false, 0};
	size_t i;

	madvise(p, size, MADV_NOHUGEPAGE);
	p[0] = p[size / 2] = p[size - 1] = 1;
	collect();
	ck_assert(in_piece(p) && in_piece(p + size / 2));
	ck_assert(in_piece(p + size - 1));
	i = rootset_find(&rs, (uintptr_t)p + 12345678);
	ck_assert_uint_ne(i, SIZE_MAX);
	rootset_scan(&rs, i, count_piece, &b);
	/* It may have been merged with something near. */
	ck_assert_uint_ge(b.n, 3 * PAGE);
	ck_assert_uint_lt(b.n, 64 << 20);
	roots_free(&rs);
	munmap(p, size);
}
END_TEST

/* -------- registered ranges -------- */

START_TEST(test_registered)
{
	char *p = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	uintptr_t lo = (uintptr_t)p + 8, hi = (uintptr_t)p + 64;
	const uint32_t yes = 1u << ROOT_REGISTERED;

	p[0] = 1;
	ck_assert_int_eq(roots_register(hi, lo), EINVAL);
	ck_assert_int_eq(roots_unregister(lo, hi), ENOENT);
	ck_assert_int_eq(roots_register(lo, hi), 0);
	ck_assert_int_eq(roots_register(lo, hi), 0);
	ck_assert_int_eq(roots_register(lo, hi + 8), 0);
	collect();
	ck_assert_uint_eq(kinds(p), 0);
	ck_assert_uint_eq(kinds(p + 8), yes);
	ck_assert_uint_eq(kinds(p + 64), yes);
	ck_assert_uint_eq(kinds(p + 72), 0);
	ck_assert_int_eq(roots_unregister(lo, hi + 8), 0);
	ck_assert_int_eq(roots_unregister(lo, hi + 8), ENOENT);
	ck_assert_int_eq(roots_unregister(lo, hi), 0);
	collect();
	ck_assert_uint_eq(kinds(p + 63), yes);
	ck_assert_uint_eq(kinds(p + 64), 0);
	ck_assert_int_eq(roots_unregister(lo, hi), 0);
	collect();
	ck_assert_uint_eq(kinds(p + 8), 0);
	/* Not mapped at all. */
	munmap(p, 2 * PAGE);
	ck_assert_int_eq(roots_register(lo, hi), 0);
	collect();
	ck_assert_uint_eq(kinds(p + 8), 0);
	roots_free(&rs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("roots");
	TCase *tc = new_case(s, "roots");

	seed_init();
	roots_init();
	roots_note_loader();
	tcase_add_test(tc, test_globals);
	if (!SANITIZED) { /* it moves globals, and spills registers */
		tcase_add_test(tc, test_self);
		tcase_add_test(tc, test_frame);
	}
	tcase_add_test(tc, test_threads);
	tcase_add_test(tc, test_ended);
	tcase_add_test(tc, test_many);
	tcase_add_test(tc, test_registers);
	tcase_add_test(tc, test_mapping);
	tcase_add_test(tc, test_random);
	tcase_add_test(tc, test_sparse);
	tcase_add_test(tc, test_registered);
	return run_suite(s);
}
