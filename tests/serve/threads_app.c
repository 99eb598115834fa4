/* SPDX-License-Identifier: MIT */
/*
 * Threads that do all kinds of things, each in a function of that name. What
 * the calls return to them is watched: none may see that it was looked at.
 *
 *	threads_app LIBRARY	"ready", then until end of input; "fine" or why not
 *	threads_app stack	gostat_stack() of this thread, then of all
 */
#include "gostat.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define VISIBLE __attribute__((noinline, noclone)) static
#define THREAD VISIBLE void *

static volatile int quit, trouble;
static int pipes[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static const char *library;

static void check(int fine, int what)
{
	if (!fine)
		trouble = what;
}

THREAD sleeps(void *arg)
{
	struct timespec t = {1000, 0};

	check(nanosleep(&t, NULL) == 0, 1);
	return arg;
}

THREAD polls(void *arg)
{
	struct pollfd p = {pipes[0], POLLIN, 0};

	check(poll(&p, 1, -1) == 1, 2);
	return arg;
}

THREAD reads(void *arg)
{
	char c;

	check(read(pipes[0], &c, 1) == 1, 3);
	return arg;
}

THREAD waits(void *arg)
{
	pthread_mutex_lock(&mutex);
	while (!quit)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	return arg;
}

THREAD spins(void *arg)
{
	while (!quit)
		;
	return arg;
}

/* Short waits, one after the other: a stop finds it in all states. */
THREAD naps(void *arg)
{
	struct timespec t = {0, 200000};
	struct pollfd p = {-1, 0, 0};

	while (!quit) {
		check(nanosleep(&t, NULL) == 0, 4);
		check(poll(&p, 1, 1) == 0, 5);
	}
	return arg;
}

THREAD allocates(void *arg)
{
	void *p[64] = {0};

	for (unsigned i = 0; !quit; i = i * 5 + 1) {
		free(p[i % 64]);
		p[i % 64] = malloc(i % 30000);
	}
	for (unsigned i = 0; i < 64; i++)
		free(p[i]);
	return arg;
}

THREAD refuses(void *arg)
{
	unsigned long all = ~0ul;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
	check(sem_wait(&sem) == 0, 6);
	return arg;
}

THREAD loads(void *arg)
{
	check(dlopen(library, RTLD_NOW) != NULL, 7);
	return arg;
}

VISIBLE int of_c11(void *arg)
{
	return sleeps(arg) != NULL;
}

VISIBLE void starts(
	void *(*fn)(void *), const char *name)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, NULL))
		abort();
	pthread_setname_np(t, name);
	__asm__ volatile("");
}

VISIBLE void start_all(void)
{
	thrd_t t;

	starts(sleeps, "sleeper");
	starts(polls, "pol]\"ler");
	starts(reads, "reader");
	for (int i = 0; i < 5; i++)
		starts(waits, "waiter");
	starts(spins, "spinner");
	starts(naps, "napper");
	starts(allocates, "allocator");
	starts(refuses, "refuser");
	starts(loads, "loader");
	if (thrd_create(&t, of_c11, NULL) != thrd_success)
		abort();
}

VISIBLE void print_stack(bool all)
{
	static char buf[1 << 16];
	size_t n = gostat_stack(buf, sizeof(buf), all);

	fwrite(buf, 1, n, stdout);
	puts("--");
	/* What there is no room for is left out. */
	buf[10] = '!';
	check(gostat_stack(buf, 10, all) == 10 && buf[10] == '!', 8);
	check(gostat_stack(buf, 0, all) == 0, 9);
}

int main(int argc, char **argv)
{
	if (argc != 2 || pipe(pipes))
		return 2;
	if (!strcmp(argv[1], "stack")) {
		starts(waits, "waiter");
		print_stack(false);
		print_stack(true);
		return trouble;
	}
	library = argv[1];
	start_all();
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	/* The long waits have not ended, or there would be trouble. */
	if (trouble)
		printf("trouble %d\n", trouble);
	else
		puts("fine");
	fflush(stdout);
	_exit(0);
}
