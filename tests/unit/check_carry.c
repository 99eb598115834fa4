/* SPDX-License-Identifier: MIT */
/*
 * Two copies of one stopped process, one with the stacks carried, the other as
 * clone makes it: the same roots.
 */
#include "gc/carry.h"
#include "gc/gcjob.h"
#include "gc/snapshot.h"
#include "gc/unforked.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "support/collect.h"

#include "base/atomics.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { THREADS = 12, STACK = 128 << 10, DEEP = 300 << 10 };

static uint32_t quit;
static sem_t up;
static __thread void *tls;
static struct carry c;
static struct snapshot s;

/* -------- threads -------- */

struct sleeper {
	void (*how)(struct sleeper *s);
	void **local, **thread_local;
	char *dead; /* far below its stack pointer */
	pthread_t thread;
	ucontext_t here, there;
	char *other; /* a second stack */
};

NOINLINE static void sleep_here(struct sleeper *t)
{
	void *volatile here = t;

	t->local = (void **)&here;
	t->dead = (char *)__builtin_frame_address(0) - 24576;
	sem_post(&up);
	while (!load_relaxed(&quit))
		usleep(1000);
}

NOINLINE static void sleep_deep(struct sleeper *t)
{
	char frames[DEEP];

	__asm__ volatile("" ::"r"(frames) : "memory");
	sleep_here(t);
	__asm__ volatile("" ::"r"(frames) : "memory");
}

static void on_other(unsigned hi, unsigned lo)
{
	sleep_here((struct sleeper *)((uintptr_t)hi << 32 | lo));
}

NOINLINE static void sleep_elsewhere(struct sleeper *t)
{
	getcontext(&t->there);
	t->there.uc_stack.ss_sp = t->other = map_alone(STACK, MAP_PRIVATE);
	t->there.uc_stack.ss_size = STACK;
	t->there.uc_link = &t->here;
	makecontext(&t->there, (void (*)(void))on_other, 2,
		(unsigned)((uintptr_t)t >> 32), (unsigned)(uintptr_t)t);
	swapcontext(&t->here, &t->there);
}

static void *run(void *arg)
{
	struct sleeper *t = arg;

	tls = t;
	t->thread_local = &tls;
	t->how(t);
	return NULL;
}

static void start(struct sleeper *t, void (*how)(struct sleeper *),
	void *stack, size_t size)
{
	pthread_attr_t attr;

	t->how = how;
	pthread_attr_init(&attr);
	if (stack)
		MUST_EQ(pthread_attr_setstack(&attr, stack, size), 0);
	else
		MUST_EQ(pthread_attr_setstacksize(&attr, size), 0);
	MUST_EQ(pthread_create(&t->thread, &attr, run, t), 0);
	pthread_attr_destroy(&attr);
	sem_wait(&up);
}

static void end(struct sleeper *t, unsigned n)
{
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i].thread, NULL);
	store_relaxed(&quit, 0);
}

/* -------- what a copy sees -------- */

static struct seen {
	uint64_t n, hash, mappings, words;
	bool unpacked, collected, dead_there;
	char *dead;
} *seen; /* two, shared */

static uint64_t mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

/*
 * The kernel's name for the same page differs where clone has copied it, so a
 * run of pages may be cut elsewhere: words count, not ranges.
 */
static void look(struct seen *x)
{
	const struct root_range *r = rootset_ranges(&rs);
	const struct root_mapping *m = rootset_mappings(&rs);

	for (size_t i = 0; i < rs.ranges.n; i++, r++) {
		if (r->kind > ROOT_TLS || r->tid == w.self_tid)
			continue;
		for (uintptr_t p = r->lo; p < r->hi; p += 8, x->n++) {
			x->hash = mix(x->hash, p);
			x->hash = mix(x->hash, *(uintptr_t *)p);
			x->hash = mix(x->hash, r->kind);
			x->hash = mix(x->hash, (uint64_t)r->tid);
		}
	}
	for (size_t i = 0; i < rs.words.n; i++)
		if (rootset_words(&rs)[i].tid != w.self_tid)
			x->words = mix(x->words, rootset_words(&rs)[i].word);
	for (size_t i = 0; i < rs.mappings.n; i++)
		x->mappings = mix(mix(x->mappings, m[i].lo), m[i].hi);
}

static int in_copy(void *arg)
{
	struct seen *x = arg;
	unsigned char vec;

	x->unpacked = carry_unpack(&c);
	x->dead_there = !sys_failed(sys3(SYS_mincore,
		ALIGN_DOWN((uintptr_t)x->dead, (uintptr_t)OS_PAGE), OS_PAGE,
		&vec));
	x->collected = roots_collect(&rs, &w);
	look(x);
	return 0;
}

/* World stopped; then both copies have looked. Returns how many were carried. */
static size_t look_twice(char *dead)
{
	size_t carried;

	if (!seen)
		seen = sysmem_map_shared(OS_PAGE, SYS_OTHER);
	memset(seen, 0, 2 * sizeof(*seen));
	seen[0].dead = seen[1].dead = dead;
	modules_refresh();
	MUST(roots_prepare(&rs));
	carry_prepare(&c);
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	MUST(roots_freeze(&rs, &w));
	carry_pack(&c, &w);
	carried = c.n;
	for (int i = 0; i < 2; i++) {
		MUST(snapshot_take(&s, in_copy, &seen[i]));
		carry_done(&c);
		c.n = 0;
		MUST_EQ(snapshot_wait(&s, LONG), SNAPSHOT_DONE);
	}
	stw_start(&w);
	carry_free(&c);
	roots_free(&rs);
	return carried;
}

static void same(void)
{
	for (int i = 0; i < 2; i++) {
		ck_assert(seen[i].unpacked);
		ck_assert(seen[i].collected);
	}
	ck_assert_uint_gt(seen[1].n, THREADS * 64);
	ck_assert_uint_eq(seen[0].n, seen[1].n);
	ck_assert_uint_eq(seen[0].hash, seen[1].hash);
	ck_assert_uint_eq(seen[0].words, seen[1].words);
	ck_assert_uint_eq(seen[0].mappings, seen[1].mappings);
}

/* Mappings that the kernel would leave out of a copy. */
static unsigned count_unforked(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f))
		n += !strncmp(line, "VmFlags:", 8) && strstr(line, " dc");
	fclose(f);
	return n;
}

/* -------- tests -------- */

static struct sleeper sleeper[THREADS];

START_TEST(test_same)
{
	unsigned before = count_unforked();

	for (unsigned i = 0; i < THREADS; i++)
		start(&sleeper[i], sleep_here, NULL, STACK);
	for (int cycle = 0; cycle < 3; cycle++) {
		ck_assert_uint_eq(look_twice(sleeper[3].dead), THREADS);
		same();
		/* This is what makes the difference. */
		ck_assert(!seen[0].dead_there);
		ck_assert(seen[1].dead_there);
		ck_assert_uint_eq(count_unforked(), before);
	}
	end(sleeper, THREADS);
}
END_TEST

START_TEST(test_left_alone)
{
	char *own = map_alone(STACK, MAP_PRIVATE);

	start(&sleeper[0], sleep_deep, NULL, 2 * DEEP);
	start(&sleeper[1], sleep_elsewhere, NULL, STACK);
	start(&sleeper[2], sleep_here, own, STACK);
	for (unsigned i = 3; i < THREADS; i++)
		start(&sleeper[i], sleep_here, NULL, STACK);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(look_twice(sleeper[i].dead), THREADS - 3);
		same();
		ck_assert(seen[0].dead_there);
	}
	end(sleeper, THREADS);
}
END_TEST

START_TEST(test_advised)
{
	uintptr_t page;

	for (unsigned i = 0; i < THREADS; i++)
		start(&sleeper[i], sleep_here, NULL, STACK);
	page = ALIGN_DOWN((uintptr_t)sleeper[5].dead, (uintptr_t)OS_PAGE);
	unforked_add(page, page + OS_PAGE, false);
	MUST_EQ(madvise((void *)page, OS_PAGE, MADV_DONTFORK), 0);
	ck_assert_uint_eq(look_twice(sleeper[5].dead), 0);
	same();
	ck_assert(!seen[1].dead_there);
	ck_assert_uint_ge(count_unforked(), 1);
	end(sleeper, THREADS);
}
END_TEST

START_TEST(test_no_room)
{
	for (unsigned i = 0; i < THREADS; i++)
		start(&sleeper[i], sleep_here, NULL, STACK);
	sysmem_fail_after = 0;
	carry_prepare(&c);
	sysmem_fail_after = -1;
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	carry_pack(&c, &w);
	ck_assert_uint_eq(c.n, 0);
	carry_done(&c);
	stw_start(&w);
	carry_free(&c);
	/* And when there is less than all need. */
	carry_prepare(&c);
	c.room = c.room / c.most * 2;
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	carry_pack(&c, &w);
	carry_done(&c);
	stw_start(&w);
	ck_assert_uint_gt(c.n, 0);
	ck_assert_uint_lt(c.n, THREADS);
	ck_assert_uint_le(c.used, c.room);
	carry_free(&c);
	end(sleeper, THREADS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("carry");
	TCase *tc = new_case(suite, "carry");

	roots_init();
	sem_init(&up, 0, 0);
	tcase_add_test(tc, test_same);
	tcase_add_test(tc, test_left_alone);
	tcase_add_test(tc, test_advised);
	tcase_add_test(tc, test_no_room);
	return run_suite(suite);
}
