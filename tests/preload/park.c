/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait, each in a thread of its own, while cycles of the collector
 * come one after the other. Each must do exactly what it does without: no
 * EINTR, nothing short, no signal lost. How long anything takes is not looked
 * at.
 *
 *	park [CYCLES [BITS OF CASES]]
 */
#include "park/park.h"

#include <gostat.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static int cycles = 200;
static volatile bool over;
volatile bool started;

/* A thread that does something in a moment. */
pthread_t later(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	CHECK(pthread_create(&t, &attr, fn, arg) == 0);
	pthread_attr_destroy(&attr);
	return t;
}

void join(pthread_t t)
{
	CHECK(pthread_join(t, NULL) == 0);
}

void moment(void)
{
	struct timespec t = a_while;

	CHECK(nanosleep(&t, NULL) == 0);
}

void work(void)
{
	void *p[50];

	for (int k = 0; k < 50; k++) {
		for (int i = 0; i < 50; i++)
			p[i] = malloc((size_t)(i * 16 + k));
		for (int i = 0; i < 50; i++)
			free(p[i]);
	}
}

static void (*const cases[])(void) = {case_sleeps, case_sleeps_long,
	case_polls, case_timed_locks, case_timed_messages, case_pipes,
	case_sockets, case_accepts, case_locks, case_system_v, case_queues,
	case_signals, case_jumps, case_cancels, case_children, case_lengthy,
	case_storms, case_ignored, case_raw_calls, case_kernel_aio,
	case_io_uring, case_joins, case_stdio, case_spawned, case_record_locks,
	case_fifo, case_listio};
enum { NCASES = sizeof(cases) / sizeof(cases[0]) };

static void *run_case(void *arg)
{
	void (*const *fn)(void) = arg;

	do
		(*fn)();
	while (!over);
	return NULL;
}

/* Threads that have nothing to do, and end as they should. */
static struct {
	pthread_mutex_t m;
	pthread_cond_t c;
	bool met;
} all = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
static int gate[2];

static void *idles(void *arg)
{
	struct pollfd fd = {.fd = gate[0], .events = POLLIN};
	size_t way = (size_t)arg % 3;
	char c;

	if (way == 0) {
		CHECK(poll(&fd, 1, -1) == 1);
	} else if (way == 1) {
		CHECK(read(gate[0], &c, 1) == 0);
	} else {
		pthread_mutex_lock(&all.m);
		while (!all.met)
			CHECK(pthread_cond_wait(&all.c, &all.m) == 0);
		pthread_mutex_unlock(&all.m);
	}
	return NULL;
}

static void collect(void)
{
	if (gostat_gc)
		gostat_gc();
	else
		usleep(100);
}

static void many_idle(void)
{
	enum { N = 1000 };
	static pthread_t t[N];
	struct timespec a, b;

	CHECK(pipe(gate) == 0);
	for (size_t i = 0; i < N; i++)
		t[i] = later(idles, (void *)i);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < cycles; i++)
		collect();
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (getenv("PARK_TIMES"))
		fprintf(stderr, "idle: %ld us a cycle\n",
			((b.tv_sec - a.tv_sec) * 1000000 +
				(b.tv_nsec - a.tv_nsec) / 1000) /
				cycles);
	close(gate[1]);
	pthread_mutex_lock(&all.m);
	all.met = true;
	pthread_cond_broadcast(&all.c);
	pthread_mutex_unlock(&all.m);
	for (size_t i = 0; i < N; i++)
		join(t[i]);
}

static void handlers(void)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	struct sigaction old;
	sigset_t blocked;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	sa.sa_handler = on_hup;
	CHECK(sigaction(SIGHUP, &sa, NULL) == 0);
	sa.sa_handler = on_storm;
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(sigaction(SIGALRM, NULL, &old) == 0);
	CHECK(old.sa_handler == on_storm);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGALRM);
	/* system() blocks it for itself: another thread would be woken up. */
	sigaddset(&blocked, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

int main(int argc, char **argv)
{
	unsigned long which = ~0ul;
	pthread_t t[NCASES];

	if (argc > 1)
		cycles = atoi(argv[1]);
	if (argc > 2)
		which = strtoul(argv[2], NULL, 0);
	ends_init();
	handlers();
	for (int i = 0; i < NCASES; i++)
		if (which >> i & 1)
			CHECK(pthread_create(&t[i], NULL, run_case,
				      (void *)&cases[i]) == 0);
	started = true;
	for (int i = 0; i < cycles; i++) {
		collect();
		usleep(1000);
	}
	over = true;
	for (int i = 0; i < NCASES; i++)
		if (which >> i & 1)
			join(t[i]);
	if (argc < 3)
		many_idle();
	return 0;
}
