/* SPDX-License-Identifier: MIT */
/* Stacks of others, unwound from copies, against what they say themselves. */
#include "gc/stackcopy.h"
#include "base/atomics.h"
#include "gc/park.h"
#include "os/syscall.h"
#include "support/callmaze.h"
#include "support/random.h"
#include "support/run.h"

#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { NTHREADS = 8, ROUNDS = 40, DEEP = 300 };

/* How a thread waits while others look at it. */
enum way { SPIN, PARK, ALTERNATE, MASKED, COROUTINE, NWAYS };

struct subject {
	enum way way;
	int tid;
	uint8_t path[48];
	struct maze maze;
	void *pc[DEEP];
	int n; /* frames; pc[0] is in the function that waits */
	int fd[2];
	ucontext_t back, in;
	pthread_t thread;
};

static sem_t up;
static uint32_t quit;
static __thread struct subject *self;

static NOINLINE void spins(struct subject *s)
{
	uint64_t all = ~UINT64_C(0);

	s->n = backtrace(s->pc, NELEM(s->pc));
	if (s->way == MASKED) /* the last thing: libc opens some again */
		sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	sem_post(&up);
	while (!load_relaxed(&quit))
		cpu_relax();
}

static void on_signal(int sig)
{
	(void)sig;
	spins(self);
	maze_touch(self);
}

static NOINLINE void parks(struct subject *s)
{
	struct park *p;
	char c, *kept = &c;

	s->n = backtrace(s->pc, NELEM(s->pc));
	p = PARK_ENTER(kept);
	sem_post(&up);
	MUST_EQ(read(s->fd[0], &c, 1), 1);
	park_leave(p);
	maze_touch(kept);
}

static void waits(struct maze *m)
{
	struct subject *s = m->arg;

	switch (s->way) {
	case PARK:
		parks(s);
		break;
	case ALTERNATE:
		pthread_kill(pthread_self(), SIGUSR1);
		break;
	default:
		spins(s);
	}
	maze_touch(s);
}

static void in_coroutine(void)
{
	maze_run(&self->maze);
	maze_touch(self);
}

static void *subject(void *arg)
{
	struct subject *s = self = arg;
	stack_t alt = {.ss_size = 1 << 16, .ss_sp = malloc(1 << 16)};
	void *stack = malloc(1 << 16);

	s->tid = gettid();
	sigaltstack(&alt, NULL);
	if (s->way == COROUTINE) {
		getcontext(&s->in);
		s->in.uc_stack = (stack_t){
			.ss_sp = stack, .ss_size = 1 << 16};
		s->in.uc_link = &s->back;
		makecontext(&s->in, in_coroutine, 0);
		swapcontext(&s->back, &s->in);
	} else {
		maze_run(&s->maze);
	}
	alt.ss_flags = SS_DISABLE;
	sigaltstack(&alt, NULL);
	free(alt.ss_sp);
	free(stack);
	return NULL;
}

static void start(struct subject *s, enum way way, struct rng *seed)
{
	*s = (struct subject){.way = way};
	s->maze = (struct maze){.path = s->path,
		.depth = 1 + rng_next(seed) % sizeof(s->path),
		.leaf = waits,
		.arg = s};
	for (size_t i = 0; i < sizeof(s->path); i++)
		s->path[i] = (uint8_t)rng_next(seed);
	MUST_EQ(pipe(s->fd), 0);
	MUST_EQ(pthread_create(&s->thread, NULL, subject, s), 0);
}

static void finish(struct subject *s)
{
	MUST_EQ(write(s->fd[1], "", 1), 1);
	MUST_EQ(pthread_join(s->thread, NULL), 0);
	close(s->fd[0]);
	close(s->fd[1]);
}

static const struct stackcopy *copy_of(const struct stackcopies *c, int tid)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->v[i].tid == tid)
			return &c->v[i];
	ck_abort_msg("no copy of %d", tid);
}

static unsigned nseen[STW_RUNNING + 1];

/* What is above the function that waits must be there, and nothing else. */
static void compare(const struct subject *s, const struct stackcopy *k)
{
	uintptr_t pc[DEEP];
	bool whole;
	size_t n, tail = (size_t)s->n - 1, signals = 0;

	nseen[k->how]++;
	n = unwind_copied(&k->at, pc, DEEP, &whole);
	if (k->how == STW_RUNNING) {
		MUST_EQ(n, 0);
		return;
	}
	MUST(n > tail);
	MUST(n - tail < 12);
	/* Where the signal came, ours is one past the address. */
	for (size_t i = 0; i < tail; i++) {
		uintptr_t more = pc[n - tail + i] - (uintptr_t)s->pc[1 + i];

		MUST(more <= (s->way == ALTERNATE));
		signals += more;
	}
	MUST_EQ(signals, s->way == ALTERNATE);
	MUST(whole || s->way == COROUTINE);
}

static void take(struct stackcopies *c)
{
	enum stw_result r;

	/* A busy machine may be late. */
	while ((r = stackcopy_take(c)) == STW_LATE)
		;
	MUST_EQ(r, STW_OK);
}

START_TEST(agree)
{
	static struct subject s[NTHREADS];
	struct sigaction sa = {
		.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	struct rng seed = rng_init(4711);
	struct stackcopies c;
	void *warm[1];

	sigaction(SIGUSR1, &sa, NULL);
	backtrace(warm, 1); /* loads libgcc_s */
	park_enable();
	sem_init(&up, 0, 0);
	for (int round = 0; round < ROUNDS; round++) {
		store_relaxed(&quit, 0);
		for (int i = 0; i < NTHREADS; i++)
			start(&s[i], (enum way)((round + i) % NWAYS), &seed);
		for (int i = 0; i < NTHREADS; i++)
			sem_wait(&up);
		take(&c);
		MUST_EQ(c.n, NTHREADS);
		store_relaxed(&quit, 1);
		for (int i = 0; i < NTHREADS; i++)
			finish(&s[i]);
		/* Nothing of the stacks is there any more. */
		for (int i = 0; i < NTHREADS; i++)
			compare(&s[i], copy_of(&c, s[i].tid));
		stackcopy_free(&c);
	}
	ck_assert_uint_gt(nseen[STW_PARKED], ROUNDS / 2);
	ck_assert_uint_gt(nseen[STW_SIGNAL], ROUNDS);
	ck_assert_uint_gt(nseen[STW_TRACED] + nseen[STW_RUNNING], ROUNDS / 2);
}
END_TEST

/* Deeper than what is copied: the inner end is right, and says that it is. */
static NOINLINE unsigned dive(unsigned n, struct subject *s)
{
	volatile char frame[1024];

	frame[0] = (char)n;
	if (n)
		return dive(n - 1, s) + (unsigned)frame[0];
	spins(s);
	maze_touch(s);
	return 1;
}

static void *diver(void *arg)
{
	struct subject *s = arg;

	s->tid = gettid();
	dive(2000, s);
	return NULL;
}

START_TEST(deep)
{
	static struct subject s;
	uintptr_t pc[1000];
	struct stackcopies c;
	size_t n, more = 0;
	bool whole;

	sem_init(&up, 0, 0);
	MUST_EQ(pthread_create(&s.thread, NULL, diver, &s), 0);
	sem_wait(&up);
	take(&c);
	store_relaxed(&quit, 1);
	n = unwind_copied(&copy_of(&c, s.tid)->at, pc, NELEM(pc), &whole);
	ck_assert(!whole);
	ck_assert_uint_gt(n, 100);
	ck_assert_uint_lt(n, STACKCOPY_MOST / 1024 + 2 + 12);
	/* It may still be on its way out of sem_post(). */
	while (more < 12 && pc[more + 1] != (uintptr_t)s.pc[1])
		more++;
	for (size_t i = 1; i + more < n; i++)
		MUST_EQ(pc[i + more], s.pc[i]);
	/* And no more than the caller has room for. */
	ck_assert_uint_eq(unwind_copied(&copy_of(&c, s.tid)->at, pc, 10,
		&whole), 10);
	ck_assert(!whole);
	stackcopy_free(&c);
	pthread_join(s.thread, NULL);
}
END_TEST

/* Stacks that are nothing of the kind. */
START_TEST(rubbish)
{
	struct unwind_copy c = {.valid = (1u << CFI_NREG) - 1};
	static uintptr_t words[512];
	uintptr_t pc[64];
	struct rng seed = rng_init(99);
	bool whole;

	for (int round = 0; round < 20000; round++) {
		uintptr_t lo = 0x7f0000000000 + 8 * (rng_next(&seed) % 512);

		for (size_t i = 0; i < NELEM(words); i++)
			words[i] = rng_next(&seed) % 3
				? lo + rng_next(&seed) % 4096
				: (uintptr_t)&qsort + rng_next(&seed) % 4096;
		for (unsigned r = 0; r < CFI_NREG; r++)
			c.reg[r] = words[rng_next(&seed) % NELEM(words)];
		c.reg[CFI_RA] = (uintptr_t)&qsort +
			rng_next(&seed) % 65536;
		c.piece[0] = (struct stackpiece){.lo = lo,
			.hi = lo + 8 * (rng_next(&seed) % 512),
			.copy = (const char *)words};
		MUST(unwind_copied(&c, pc, NELEM(pc), &whole) <= NELEM(pc));
	}
	c.valid = 0;
	ck_assert_uint_eq(unwind_copied(&c, pc, NELEM(pc), &whole), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stackcopy");
	TCase *tc = new_case(s, "copies");

	seed_init();
	tcase_add_test(tc, agree);
	tcase_add_test(tc, deep);
	tcase_add_test(tc, rubbish);
	return run_suite(s);
}
