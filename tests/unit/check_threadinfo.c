/* SPDX-License-Identifier: MIT */
/* Who created which thread, against a list kept by hand. */
#include "profile/threadinfo.h"
#include "profile/stacktab.h"
#include "support/random.h"
#include "support/run.h"

#include <pthread.h>
#include <unistd.h>

enum { NPLACES = 3, MANY = 50000 };

/* Places that create threads: each has a stack of its own. */
#define PLACE(name)                                                            \
	__attribute__((aligned(64)))                                           \
	static NOINLINE void name(uintptr_t thread)                            \
	{                                                                      \
		threadinfo_created(thread);                                    \
		__asm__ volatile("");                                          \
	}
PLACE(first)
PLACE(second)
PLACE(third)

static void (*const place[NPLACES])(uintptr_t) = {first, second, third};
static const char *const start[NPLACES] = {
	(const char *)first, (const char *)second, (const char *)third};

static uint64_t total(void)
{
	struct threadinfo_site s;
	uint64_t n = 0;

	for (size_t at = 0; threadinfo_next(&at, &s);)
		n += s.count;
	return n;
}

/* Which place a stack comes from: its second frame, or there is no such. */
static int place_of(uint32_t stack)
{
	uintptr_t pc[8];
	size_t n = stacktab_frames(stack, pc, NELEM(pc));

	for (size_t k = 0; k < MIN(n, NELEM(pc)); k++)
		for (int i = 0; i < NPLACES; i++)
			if (pc[k] - (uintptr_t)start[i] < 64)
				return i;
	return -1;
}

static uintptr_t name(unsigned i)
{
	return 0x7f0000001000 + (uintptr_t)i * 0x801000 + 0x6c0;
}

START_TEST(counts)
{
	struct rng r = rng_init(1);
	uint64_t created[NPLACES] = {0};
	struct threadinfo_site s;
	unsigned nsites = 0;

	ck_assert_uint_eq(total(), 0);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned k = (unsigned)rng_below(&r, NPLACES);

		place[k](name(i));
		created[k]++;
	}
	ck_assert_uint_eq(total(), 1000);
	for (size_t at = 0; threadinfo_next(&at, &s); nsites++) {
		int k = place_of(s.stack);

		ck_assert_int_ge(k, 0);
		ck_assert_uint_eq(s.count, created[k]);
	}
	ck_assert_uint_eq(nsites, NPLACES);
}
END_TEST

/* The last creation of a name is what counts; what is known is right. */
START_TEST(origins)
{
	static int8_t by[MANY];
	struct rng r = rng_init(2);
	unsigned known = 0;
	uint32_t stack;
	int creator;

	memset(by, -1, sizeof(by));
	ck_assert(!threadinfo_origin(0, &stack, &creator));
	ck_assert(!threadinfo_origin(name(1), &stack, &creator));
	for (unsigned i = 0; i < 3 * MANY; i++) {
		unsigned t = (unsigned)rng_below(&r, MANY);

		by[t] = (int8_t)rng_below(&r, NPLACES);
		place[by[t]](name(t));
		MUST(threadinfo_origin(name(t), &stack, &creator));
		MUST_EQ(creator, gettid());
		MUST_EQ(place_of(stack), by[t]);
	}
	for (unsigned t = 0; t < MANY; t++) {
		if (!threadinfo_origin(name(t), &stack, &creator))
			continue;
		known++;
		MUST_EQ(place_of(stack), by[t]);
	}
	ck_assert_uint_gt(known, 4000);
	ck_assert_uint_eq(total(), 3 * MANY);
}
END_TEST

/* Threads with the same names at the same time: nothing is lost or mixed up. */
static void *creates(void *arg)
{
	struct rng r = rng_init((uintptr_t)arg);
	uint32_t stack;
	int creator;

	for (unsigned i = 0; i < MANY; i++) {
		unsigned t = (unsigned)rng_below(&r, 64);

		place[t % NPLACES](name(t));
		t = (unsigned)rng_below(&r, 64);
		if (threadinfo_origin(name(t), &stack, &creator))
			MUST_EQ(place_of(stack), t % NPLACES);
	}
	return NULL;
}

START_TEST(together)
{
	pthread_t t[4];

	for (uintptr_t i = 0; i < NELEM(t); i++)
		MUST_EQ(pthread_create(&t[i], NULL, creates, (void *)(i + 3)),
			0);
	for (size_t i = 0; i < NELEM(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(total(), NELEM(t) * MANY);
}
END_TEST

static bool child(void *arg)
{
	uint32_t stack;
	int creator;

	(void)arg;
	threadinfo_postfork_child();
	return total() == 0 && !threadinfo_origin(name(1), &stack, &creator);
}

START_TEST(forked)
{
	first(name(1));
	in_child(child, NULL);
	ck_assert_uint_eq(total(), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("threadinfo");
	TCase *tc = new_case(s, "threadinfo");

	seed_init();
	tcase_add_test(tc, counts);
	tcase_add_test(tc, origins);
	tcase_add_test(tc, together);
	tcase_add_test(tc, forked);
	return run_suite(s);
}
