/* SPDX-License-Identifier: MIT */
/*
 * What a stack costs, in nanoseconds of thread time: by frame pointers (which
 * this program has only if it is built with them), libunwind, libc, unwind(),
 * and callstack_capture() when the inner 1, 4 or 10 frames differ from one
 * capture to the next. Prints one CSV line for each method and depth.
 *
 *	unwind [ROUNDS [simple]]	simple: no realigned stacks, no alloca
 */
#include "profile/callstack.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "support/callmaze.h"

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int rounds = 20000;

static int (*libc_backtrace)(void **, int);
static struct callstack *cs;
static struct stackrange range;
static uintptr_t pcs[STACK_MAX];
static size_t frames;
static uint32_t sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

NOINLINE static void by_unwind(void)
{
	struct unwind_regs r;

	unwind_caller(&r);
	frames = unwind(&r, &range, pcs, STACK_MAX);
}

NOINLINE static void by_unwind_intern(void)
{
	struct unwind_regs r;

	unwind_caller(&r);
	frames = unwind(&r, &range, pcs, STACK_MAX);
	sink += stacktab_intern(pcs, frames, 0);
}

NOINLINE static void by_callstack(void)
{
	struct unwind_regs r;

	unwind_caller(&r);
	sink += callstack_capture(cs, &r, STACK_MAX);
}

static void by_libunwind(void)
{
	frames = (size_t)unw_backtrace((void **)pcs, STACK_MAX);
}

static void by_libc(void)
{
	frames = (size_t)libc_backtrace((void **)pcs, STACK_MAX);
}

static void time_calls(
	void (*method)(void), const char *name, size_t depth, int n)
{
	double best = 1e18;

	for (int k = 0; k < 5; k++) {
		double t = now();

		for (int i = 0; i < n; i++)
			method();
		t = (now() - t) / n;
		best = t < best ? t : best;
	}
	printf("%s,%zu,%zu,%.1f,%.2f\n", name, depth, frames, best,
		best / (double)frames);
}

static void standing(struct maze *m)
{
	by_unwind();
	time_calls(by_unwind, "unwind", m->depth, rounds);
	time_calls(by_unwind_intern, "unwind+intern", m->depth, rounds);
	time_calls(by_callstack, "callstack same site", m->depth, rounds);
	time_calls(by_libunwind, "unw_backtrace", m->depth, rounds);
	time_calls(by_libc, "libc backtrace", m->depth, rounds / 20 + 1);
}

/* The inner frames differ each time: they are left and entered again. */
struct churn {
	void (*method)(void);
	const char *name;
	size_t frames;
};

static void call_method(struct maze *m)
{
	const struct churn *c = m->arg;

	c->method();
}

static void nothing(void)
{
}

static double churn_time(struct churn *c, void (*method)(void))
{
	static uint8_t paths[64][16];
	struct maze m = {.leaf = call_method, .arg = c};
	void (*keep)(void) = c->method;
	double best = 1e18;

	srand(1);
	for (size_t i = 0; i < sizeof(paths); i++)
		paths[i / 16][i % 16] = (uint8_t)rand();
	c->method = method;
	for (int k = 0; k < 5; k++) {
		double t = now();

		for (int i = 0; i < rounds; i++) {
			m.path = paths[i % 64];
			m.depth = c->frames;
			maze_run(&m);
		}
		t = (now() - t) / rounds;
		best = t < best ? t : best;
	}
	c->method = keep;
	return best;
}

static void churning(struct maze *m)
{
	static const size_t inner[] = {1, 4, 10};

	by_unwind();
	for (size_t i = 0; i < 3; i++) {
		struct churn c[] = {{by_unwind_intern, "unwind+intern", 0},
			{by_callstack, "callstack", 0}};

		for (size_t k = 0; k < 2; k++) {
			double t;

			c[k].frames = inner[i];
			t = churn_time(&c[k], c[k].method) -
			    churn_time(&c[k], nothing);
			printf("%s %zu new frames,%zu,%zu,%.1f,%.2f\n",
				c[k].name, inner[i], m->depth, frames, t,
				t / (double)frames);
		}
	}
}

int main(int argc, char **argv)
{
	static const size_t depths[] = {10, 30, 60, 120};
	uint8_t path[128];

	libc_backtrace = (int (*)(void **, int))dlsym(
		dlopen("libc.so.6", RTLD_LAZY), "backtrace");
	cs = callstack_new(STACK_MAX, true);
	modules_refresh();
	if (argc > 1)
		rounds = atoi(argv[1]);
	srand(7);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = (uint8_t)(argc > 2 ? rand() & ~4 : rand());
	printf("method,depth,frames,ns,ns/frame\n");
	for (size_t i = 0; i < sizeof(depths) / sizeof(*depths); i++) {
		struct maze m = {.path = path, .depth = depths[i]};

		m.leaf = standing;
		maze_run(&m);
		m.leaf = churning;
		maze_run(&m);
	}
	fprintf(stderr, "%u\n", sink);
	return 0;
}
