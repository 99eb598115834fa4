/* SPDX-License-Identifier: MIT */
/*
 * A thread that is cancelled, or leaves by pthread_exit, in the middle of work:
 * what its cleanup handlers free is gone, what only its frames knew is lost.
 *
 * truth: cancel | 1/4242
 * truth: exit | 1/4242
 * truth: detached | 1/4242
 */
#include "truth.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t never;
static volatile int ready, tid;
static bool leaves;

static void cleanup(void *arg)
{
	free(arg);
}

static NOINLINE void work(void)
{
	if (leaves)
		pthread_exit(NULL);
	ready = 1;
	for (;;)
		sem_wait(&never);
}

static void *thread(void *arg)
{
	void *volatile local;

	tid = gettid();
	put((void *)&local, make(MARKER), 0);
	pthread_cleanup_push(cleanup, malloc(100));
	clobber();
	work();
	pthread_cleanup_pop(1);
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;

	leaves = !said(argc, argv, "cancel");
	sem_init(&never, 0, 0);
	MUST(!pthread_create(&t, NULL, thread, NULL));
	if (said(argc, argv, "detached")) {
		pthread_detach(t);
		wait_for_end(&tid);
	} else {
		while (!leaves && !ready)
			;
		if (!leaves)
			pthread_cancel(t);
		pthread_join(t, NULL);
	}
	clobber();
	now();
	return 0;
}
