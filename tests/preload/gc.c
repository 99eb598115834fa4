/* SPDX-License-Identifier: MIT */
/*
 * gc WHAT: cycles seen from inside a program.
 *	leaks	objects are lost on purpose; the figures must be exact
 *	storm	eight threads build and check trees while cycles run
 *	forks	a thread forks all the time, another one runs cycles
 *	both	two threads ask for cycles; they never overlap
 *	final	finalizers, in their order
 *	reclaim	garbage goes, what is in use stays (GOSTAT_GC=reclaim)
 *	late	garbage that the program frees all the same
 *	figures	MemStats of cycles, GOGC
 */
#include "check.h"

#include <gostat.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, SECONDS = 3 };

static bool stop;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct gostat_memstats memstats(void)
{
	static struct gostat_memstats m;

	gostat_read_memstats(&m);
	return m;
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

struct call {
	void *(*fn)(void *);
	void *arg;
};

/* What fn has left on the stack, and malloc below it. */
static __attribute__((noinline)) void scrub(void)
{
	char stack[65536];

	memset(stack, 0, sizeof(stack));
	__asm__ volatile("" : : "r"(stack) : "memory");
}

static void *call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	scrub();
	return NULL;
}

/* Run fn on a thread that leaves nothing behind. */
static void elsewhere(void *(*fn)(void *), void *arg)
{
	struct call c = {fn, arg};
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, call, &c));
	CHECK(!pthread_join(t, NULL));
}

/* -------- leaks -------- */

struct cell {
	struct cell *next;
	char data[56];
};

/* Ten lists of five cells each, and a ring of three. */
static void *lose(void *arg)
{
	struct cell *ring[3];

	for (int i = 0; i < 10; i++) {
		struct cell *list = NULL;

		for (int k = 0; k < 5; k++) {
			struct cell *c = calloc(1, sizeof(*c));

			c->next = list;
			list = c;
		}
	}
	for (int i = 0; i < 3; i++)
		ring[i] = calloc(1, sizeof(struct cell));
	for (int i = 0; i < 3; i++)
		ring[i]->next = ring[(i + 1) % 3];
	memset(ring, 0, sizeof(ring));
	return arg;
}

static void leaks(void)
{
	struct gostat_leaks before, after;
	size_t n = gostat_find_leaks(&before);

	CHECK(n == before.direct_objects + before.indirect_objects);
	elsewhere(lose, NULL);
	CHECK(gostat_find_leaks(&after) == n + 53);
	CHECK(after.direct_objects == before.direct_objects + 11);
	CHECK(after.indirect_objects == before.indirect_objects + 42);
	CHECK(gostat_find_leaks(NULL) == n + 53);
}

/* -------- storm -------- */

struct tree {
	struct tree *left, *right;
	unsigned value, sum;
};

static struct tree *build(unsigned depth, unsigned value)
{
	struct tree *t = malloc(sizeof(*t));

	*t = (struct tree){.value = value, .sum = value};
	if (!depth)
		return t;
	t->left = build(depth - 1, value * 2 + 1);
	t->right = build(depth - 1, value * 2 + 2);
	t->sum += t->left->sum + t->right->sum;
	return t;
}

static unsigned check_tree(const struct tree *t)
{
	unsigned sum = t->value;

	if (t->left)
		sum += check_tree(t->left) + check_tree(t->right);
	CHECK(sum == t->sum);
	return sum;
}

static void drop_tree(struct tree *t)
{
	if (t->left) {
		drop_tree(t->left);
		drop_tree(t->right);
	}
	memset(t, 0xdb, sizeof(*t));
	free(t);
}

static bool dropping;

static void *storm_thread(void *arg)
{
	struct tree *keep[16] = {0};
	unsigned x = (unsigned)(size_t)arg;

	while (!stopped()) {
		struct tree **t;

		x = x * 1103515245 + 12345;
		t = &keep[x >> 8 & 15];
		if (*t) {
			check_tree(*t);
			/* In reclaim mode nobody frees. */
			if (dropping)
				drop_tree(*t);
		}
		*t = build(x >> 16 & 7, x);
	}
	for (int i = 0; i < 16; i++)
		if (keep[i])
			check_tree(keep[i]);
	return NULL;
}

/* Cycles while the threads run; how many. */
static unsigned storm(void)
{
	pthread_t t[THREADS];
	double end = now() + SECONDS;
	unsigned n = 0;

	for (size_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, storm_thread, (void *)i));
	/* A machine that is slow is given the time for some. */
	for (; now() < end || n < 3; n++)
		gostat_gc();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	return n;
}

static void storm_report(void)
{
	unsigned n;

	dropping = true;
	n = storm();
	CHECK(memstats().NumGC >= n / 2);
	printf("%u cycles, %u done\n", n, memstats().NumGC);
}

static void storm_reclaim(void)
{
	unsigned n = storm();

	printf("%u cycles, %u done, %lu KiB in use\n", n, memstats().NumGC,
		(unsigned long)memstats().HeapAlloc >> 10);
	CHECK(memstats().NumGC >= 1);
}

/* -------- forks -------- */

static void *fork_thread(void *arg)
{
	while (!stopped()) {
		pid_t pid = fork();
		int status;

		CHECK(pid >= 0);
		if (!pid) {
			free(build(3, 1));
			if (getpid() % 16 == 0)
				gostat_gc();
			_exit(7);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	return arg;
}

static void forks(void)
{
	pthread_t t;
	double end = now() + SECONDS;

	CHECK(!pthread_create(&t, NULL, fork_thread, NULL));
	for (unsigned n = 0; now() < end || n < 3; n++)
		gostat_gc();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	CHECK(memstats().NumGC >= 3);
	/* No child of ours is left behind that the program could see. */
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* -------- both -------- */

static void *ask(void *arg)
{
	for (int i = 0; i < 10; i++)
		gostat_gc();
	return arg;
}

static void both(void)
{
	struct gostat_memstats m = memstats();
	unsigned before = m.NumGC;
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&t[i], NULL, ask, NULL));
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	m = memstats();
	CHECK(m.NumGC == before + 30);
	CHECK(m.NumForcedGC == before + 30);
	/* One ends before the next begins: ends ascend by a pause at least. */
	for (unsigned i = m.NumGC - 29; i < m.NumGC; i++)
		CHECK(m.PauseEnd[i % 256] >=
			m.PauseEnd[(i - 1) % 256] + m.PauseNs[i % 256]);
}

/* -------- finalizers -------- */

static struct cell *volatile finalized[4];
static int nfinalized;

static void on_final(void *obj)
{
	int n = __atomic_fetch_add(&nfinalized, 1, __ATOMIC_SEQ_CST);

	CHECK(n < 4);
	CHECK(((struct cell *)obj)->data[0] == 'f');
	/* As text: a pointer here would keep it. */
	finalized[n] = (struct cell *)~(size_t)obj;
	free(malloc(1000));
}

/* outer leads to inner; a third one has its finalizer taken back. */
static void *make_final(void *arg)
{
	struct cell *outer = calloc(1, sizeof(*outer));
	struct cell *inner = calloc(1, sizeof(*inner));
	struct cell *other = calloc(1, sizeof(*other));

	outer->next = inner;
	outer->data[0] = inner->data[0] = 'f';
	CHECK(!gostat_set_finalizer(outer, on_final));
	CHECK(!gostat_set_finalizer(inner, on_final));
	CHECK(!gostat_set_finalizer(other, on_final));
	CHECK(!gostat_set_finalizer(other, NULL));
	CHECK(gostat_set_finalizer((char *)outer + 8, on_final) == -1);
	CHECK(errno == EINVAL);
	*(size_t *)arg = ~(size_t)outer;
	return NULL;
}

static void await(int n)
{
	double end = now() + 200;

	while (__atomic_load_n(&nfinalized, __ATOMIC_SEQ_CST) < n &&
		now() < end)
		usleep(1000);
	CHECK(__atomic_load_n(&nfinalized, __ATOMIC_SEQ_CST) == n);
}

static void final(void)
{
	size_t outer;

	elsewhere(make_final, &outer);
	gostat_gc();
	await(1);
	CHECK((size_t)finalized[0] == outer);
	gostat_gc();
	await(2);
	CHECK(finalized[1] != finalized[0]);
	gostat_gc();
	usleep(100000);
	await(2);
}

/* -------- reclaim -------- */

static struct cell *live;

static void *litter(void *arg)
{
	for (int i = 0; i < 100000; i++) {
		struct cell *c = malloc(sizeof(*c));

		memset(c, 0x5a, sizeof(*c));
		c->next = NULL;
		if (i % 10 == 0) {
			c->next = live;
			live = c;
		}
	}
	for (int i = 0; i < 20; i++)
		memset(malloc(1 << 20), 1, 1 << 20);
	return arg;
}

static void check_live(int n)
{
	for (struct cell *c = live; c; c = c->next, n--)
		for (size_t i = 0; i < sizeof(c->data); i++)
			CHECK(c->data[i] == 0x5a);
	CHECK(n == 0);
}

static void reclaim(void)
{
	struct gostat_memstats m;
	uint64_t before;

	for (int i = 1; i <= 5; i++) {
		elsewhere(litter, NULL);
		before = memstats().HeapAlloc;
		gostat_gc();
		m = memstats();
		check_live(i * 10000);
		CHECK(m.HeapAlloc < before - (20 << 20));
	}
	CHECK(m.HeapAlloc < 5 * 10000 * 80 + (4 << 20));
	CHECK(m.NumGC >= 5);
}

/* Addresses kept where no marker looks. */
static size_t hidden[1000];

static void *hide(void *arg)
{
	for (int i = 0; i < 1000; i++)
		hidden[i] = ~(size_t)malloc(48);
	return arg;
}

/* Hidden objects are leaks; freed, they are none any more. */
static void late(void)
{
	size_t before = gostat_find_leaks(NULL);

	elsewhere(hide, NULL);
	CHECK(gostat_find_leaks(NULL) == before + 1000);
	for (int i = 0; i < 1000; i++)
		free((void *)~hidden[i]);
	CHECK(gostat_find_leaks(NULL) == before);
}

static void figures(void)
{
	struct gostat_memstats m = memstats();

	CHECK(m.EnableGC && m.NumGC == 0 && m.LastGC == 0);
	CHECK(m.NextGC == UINT64_MAX);
	gostat_gc();
	m = memstats();
	CHECK(m.NumGC == 1 && m.NumForcedGC == 1);
	CHECK(m.PauseNs[0] > 0 && m.PauseNs[0] == m.PauseTotalNs);
	CHECK(m.LastGC == m.PauseEnd[0]);
	CHECK(m.LastGC / 1000000000 >= (uint64_t)time(NULL) - 100);
	CHECK(m.GCCPUFraction > 0 && m.GCCPUFraction < 1);
	CHECK(m.NextGC == UINT64_MAX);
	CHECK(gostat_set_gc_percent(200) == -1);
	m = memstats();
	CHECK(m.NextGC >= 8 << 20 && m.NextGC < 64 << 20);
	CHECK(gostat_set_gc_percent(-1) == 200);
	CHECK(memstats().NextGC == UINT64_MAX);
	CHECK(gostat_gomaxprocs(0) == gostat_num_cpu());
	CHECK(gostat_gomaxprocs(3) == gostat_num_cpu());
	CHECK(gostat_gomaxprocs(-1) == 3);
	gostat_gc();
	CHECK(memstats().NumGC == 2);
}

/* GOGC: cycles start by themselves. */
static void paced(void)
{
	double end = now() + 200;

	CHECK(gostat_set_gc_percent(100) == 100);
	while (memstats().NumGC - memstats().NumForcedGC < 3 && now() < end)
		elsewhere(litter, NULL);
	CHECK(memstats().NumGC - memstats().NumForcedGC >= 3);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} what[] = {{"leaks", leaks}, {"storm", storm_report},
		{"litter", storm_reclaim}, {"forks", forks}, {"both", both},
		{"final", final}, {"reclaim", reclaim}, {"late", late},
		{"figures", figures}, {"paced", paced}};

	CHECK(gostat_available());
	for (size_t i = 0; argc > 1 && i < sizeof(what) / sizeof(*what); i++)
		if (!strcmp(argv[1], what[i].name)) {
			what[i].fn();
			return 0;
		}
	return 2;
}
