/* SPDX-License-Identifier: MIT */
/*
 * What a thread was started with, and what it has returned, while only its
 * descriptor knows.
 *
 * truth: argument | clean
 * truth: born | clean reclaim=no
 * truth: result keep | clean
 * truth: result joined | 1/4242
 * truth: result detached | 1/4242
 */
#include "truth.h"

#include <pthread.h>

static volatile int ready, tid;
static pthread_t t;

/* Its argument is dead here, but pthread_create's start routine keeps it. */
static void *sleeper(void *arg)
{
	clobber();
	ready = 1;
	for (;;)
		pause();
	return arg;
}

static NOINLINE void start_sleeper(cookie c)
{
	MUST(!pthread_create(&t, NULL, sleeper, reveal(c)));
	while (!ready)
		;
}

static void *give(void *arg)
{
	tid = gettid();
	return arg;
}

static NOINLINE void start_giver(cookie c)
{
	MUST(!pthread_create(&t, NULL, give, reveal(c)));
}

static void *release(void *arg)
{
	free(arg);
	return NULL;
}

/* Somewhere between pthread_create and the first instruction. */
static NOINLINE void many_births(void)
{
	for (int i = 0; i < 30; i++) {
		pthread_t born;

		MUST(!pthread_create(
			&born, NULL, release, reveal(make(MARKER))));
		if (gostat_available())
			MUST(gostat_find_leaks(NULL) == 0);
		pthread_join(born, NULL);
	}
}

int main(int argc, char **argv)
{
	if (said(argc, argv, "argument"))
		start_sleeper(make(MARKER));
	if (said(argc, argv, "born"))
		many_births();
	if (said(argc, argv, "result")) {
		start_giver(make(MARKER));
		wait_for_end(&tid);
		if (said(argc, argv, "joined"))
			pthread_join(t, NULL);
		if (said(argc, argv, "detached"))
			pthread_detach(t);
	}
	clobber();
	now();
	return 0;
}
