/* SPDX-License-Identifier: MIT */
/*
 * Much at once, for so many seconds: storm fork|thread|signal SECONDS [SEED]
 *
 *	fork	threads allocate while the main thread forks; each child
 *		allocates at once, looks at what the parent had, forks again,
 *		starts threads, execs
 *	thread	threads come and go by the hundred, hand objects on to others,
 *		and allocate in the destructors of keys and of the thread
 *	signal	handlers run at every moment, some jump out of what they have
 *		interrupted (never out of malloc: that is not allowed); code
 *		they land in allocates
 *
 * Objects are filled and looked at, so a heap that is damaged shows. A hang
 * ends by alarm. Holds under glibc too.
 */
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long seconds = 2, seed;
static volatile int stop;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng * 0x9e3779b97f4a7c15 >> 16;
}

/* -- objects that know their size and contents --------------------------- */

struct object {
	size_t size;
	unsigned char tag, bytes[];
};

static struct object *make(uint64_t *rng)
{
	uint64_t r = next(rng);
	size_t n = r % 100 < 90 ? r / 100 % 500 : r / 100 % 60000;
	struct object *o = malloc(sizeof(*o) + n);

	CHECK(o);
	o->size = n;
	o->tag = (unsigned char)r;
	memset(o->bytes, o->tag, n);
	return o;
}

static void look(const struct object *o)
{
	CHECK(o->size < 60000);
	for (size_t i = 0; i < o->size; i += o->size / 16 + 1)
		CHECK(o->bytes[i] == o->tag);
	CHECK(o->size == 0 || o->bytes[o->size - 1] == o->tag);
}

static void drop(struct object *o)
{
	if (!o)
		return;
	look(o);
	o->tag++;
	free(o);
}

enum { SHARED = 1024 };
static struct object *shared[SHARED];

/* Swap an object of ours for whoever's lies there. */
static void exchange(uint64_t *rng)
{
	struct object **at = &shared[next(rng) % SHARED];

	drop(__atomic_exchange_n(at, make(rng), __ATOMIC_ACQ_REL));
}

static void churn(uint64_t *rng, unsigned n)
{
	struct object *own[64] = {0};

	for (unsigned i = 0; i < n; i++) {
		struct object **at = &own[next(rng) % 64];

		drop(*at);
		*at = make(rng);
		if (i % 4 == 0)
			exchange(rng);
	}
	for (unsigned i = 0; i < 64; i++)
		drop(own[i]);
}

static void *churner(void *arg)
{
	uint64_t rng = seed + (uintptr_t)arg * 0x9e3779b9 + 1;

	while (!stop)
		churn(&rng, 1000);
	return arg;
}

/* -- fork ---------------------------------------------------------------- */

static void expect(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fprintf(stderr, "seed %lu: status %#x\n", seed,
			(unsigned)status);
	CHECK(status == 0);
}

static void *once(void *arg)
{
	uint64_t rng = (uintptr_t)arg;

	churn(&rng, 300);
	return arg;
}

static void child(uint64_t rng, struct object **mine, unsigned n, int depth)
{
	pthread_t t[2];

	alarm(300);
	free(malloc(100));
	for (unsigned i = 0; i < n; i++)
		look(mine[i]);
	churn(&rng, 500);
	if (depth == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			child(rng + 1, mine, n, 1);
			_exit(0);
		}
		expect(pid);
	}
	if (next(&rng) % 2) {
		for (int i = 0; i < 2; i++)
			CHECK(!pthread_create(&t[i], NULL, once,
				(void *)(uintptr_t)(rng + (unsigned)i)));
		for (int i = 0; i < 2; i++)
			CHECK(!pthread_join(t[i], NULL));
	}
	for (unsigned i = 0; i < n; i++)
		drop(mine[i]);
	if (next(&rng) % 4 == 0)
		execl("/bin/true", "true", (char *)NULL);
}

static unsigned long storm_fork(double end)
{
	enum { THREADS = 4, MINE = 100 };
	struct object *mine[MINE];
	uint64_t rng = seed * 77 + 1;
	unsigned long forks = 0;
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, churner, (void *)i));
	for (; now() < end; forks++) {
		pid_t pid;

		for (unsigned i = 0; i < MINE; i++)
			mine[i] = make(&rng);
		pid = fork();
		if (pid == 0) {
			child(rng, mine, MINE, 0);
			_exit(0);
		}
		for (unsigned i = 0; i < MINE; i++)
			drop(mine[i]);
		expect(pid);
	}
	stop = 1;
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(!pthread_join(t[i], NULL));
	return forks;
}

/* -- threads ------------------------------------------------------------- */

static pthread_key_t key;

static void key_gone(void *p)
{
	uint64_t rng = (uintptr_t)p | 1;

	drop(p);
	churn(&rng, 20);
	pthread_setspecific(key, next(&rng) % 2 ? make(&rng) : NULL);
}

static void *mayfly(void *arg)
{
	uint64_t rng = (uintptr_t)arg | 1;

	CHECK(!pthread_setspecific(key, make(&rng)));
	churn(&rng, 50 + next(&rng) % 200);
	if (next(&rng) % 2)
		pthread_exit(make(&rng));
	return make(&rng);
}

static unsigned long storm_thread(double end)
{
	enum { AT_ONCE = 32 };
	uint64_t rng = seed * 99 + 1;
	unsigned long threads = 0;

	CHECK(!pthread_key_create(&key, key_gone));
	while (now() < end) {
		unsigned n = 1 + next(&rng) % AT_ONCE;
		pthread_t t[AT_ONCE];
		void *left;

		for (unsigned i = 0; i < n; i++)
			CHECK(!pthread_create(&t[i], NULL, mayfly,
				(void *)(uintptr_t)next(&rng)));
		churn(&rng, 100);
		for (unsigned i = 0; i < n; i++) {
			CHECK(!pthread_join(t[i], &left));
			drop(left);
		}
		threads += n;
	}
	return threads;
}

/* -- signals ------------------------------------------------------------- */

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t may_jump, seen;

static void count(int signo)
{
	int saved = errno;

	seen += signo == SIGUSR2;
	errno = EDOM;
	errno = saved;
}

static void jump(int signo)
{
	seen += signo == SIGALRM;
	if (may_jump)
		siglongjmp(back, 1);
}

/* Computes, so that a handler may jump out; then allocates. */
static void *jumper(void *arg)
{
	uint64_t rng = seed * 31 + (uintptr_t)arg + 1;
	volatile uint64_t sum = 0;

	while (!stop) {
		if (sigsetjmp(back, 1) == 0) {
			may_jump = 1;
			for (unsigned i = 0; i < 20000 && !stop; i++)
				sum += i;
		}
		may_jump = 0;
		churn(&rng, 200);
		errno = 77;
		free(malloc(next(&rng) % 100000));
		CHECK(errno == 77);
	}
	return arg;
}

static unsigned long storm_signal(double end)
{
	enum { THREADS = 4 };
	struct sigaction on_count = {
		.sa_handler = count, .sa_flags = SA_RESTART};
	struct sigaction on_jump = {.sa_handler = jump};
	struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
	uint64_t rng = seed * 13 + 1;
	unsigned long sent = 0;
	pthread_t t[THREADS];

	CHECK(!sigaction(SIGUSR2, &on_count, NULL));
	CHECK(!sigaction(SIGALRM, &on_jump, NULL));
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, jumper, (void *)i));
	setitimer(ITIMER_REAL, &often, NULL);
	for (; now() < end; sent++) {
		pthread_t to = t[next(&rng) % THREADS];

		CHECK(!pthread_kill(to, sent % 2 ? SIGUSR2 : SIGALRM));
		if (sent % 16 == 0)
			churn(&rng, 10);
	}
	stop = 1;
	setitimer(ITIMER_REAL, &never, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(!pthread_join(t[i], NULL));
	return sent;
}

int main(int argc, char **argv)
{
	unsigned long (*storm)(double end);

	CHECK(argc > 1);
	storm = !strcmp(argv[1], "fork")     ? storm_fork
		: !strcmp(argv[1], "thread") ? storm_thread
					     : storm_signal;
	if (argc > 2)
		seconds = strtoul(argv[2], NULL, 0);
	seed = argc > 3 ? strtoul(argv[3], NULL, 0) : (unsigned long)time(NULL);
	if (storm != storm_signal)
		alarm((unsigned)seconds + 300);
	printf("%s: seed %lu\n", argv[1], seed);
	fflush(stdout);
	printf("%s: %lu\n", argv[1], storm(now() + (double)seconds));
	for (unsigned i = 0; i < SHARED; i++)
		drop(shared[i]);
	return 0;
}
