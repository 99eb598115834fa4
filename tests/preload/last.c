/* SPDX-License-Identifier: MIT */
/*
 * last HOW: main leaves by pthread_exit; the process ends with its last thread,
 * as if that had called exit(0).
 *	first	main before its threads
 *	last	main after them
 *	idle	threads that never allocate
 *	fork	a child does "first", and its parent too
 *	exit	a thread calls exit(5)
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

static void *worker(void *arg)
{
	for (int i = 0; i < 1000; i++)
		free(malloc((size_t)i));
	pause_ms((long)arg);
	return NULL;
}

static void *idler(void *arg)
{
	pause_ms((long)arg);
	return NULL;
}

static void *exiter(void *arg)
{
	pause_ms((long)arg);
	exit(5);
}

/* What exit handlers may expect: signals, a stack of the usual size. */
static void bye(void)
{
	char big[1 << 20];
	sigset_t set;

	memset(big, 1, sizeof(big));
	CHECK(!pthread_sigmask(SIG_BLOCK, NULL, &set));
	CHECK(!sigismember(&set, SIGTERM));
	free(malloc(100));
	printf("bye %d\n", big[sizeof(big) - 1]);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "first";
	int fd[2], late = !strcmp(how, "last");
	pthread_t t;

	alarm(300);
	atexit(bye);
	if (!strcmp(how, "fork")) {
		CHECK(!pipe(fd));
		if (fork() == 0) {
			close(fd[0]);
		} else {
			close(fd[1]);
			/* Ends when the child has. */
			CHECK(read(fd[0], &t, 1) == 0);
		}
	}
	for (long i = 0; i < 4; i++) {
		CHECK(!pthread_create(&t, NULL,
			!strcmp(how, "idle")			? idler
				: !strcmp(how, "exit") && i == 2 ? exiter
								 : worker,
			(void *)(late ? i : 10 + 20 * i)));
		CHECK(!pthread_detach(t));
	}
	if (late)
		pause_ms(100);
	pthread_exit(NULL);
}
