/* SPDX-License-Identifier: MIT */
/*
 * forks: fork again and again while other threads allocate. Every child
 * allocates, starts a thread and forks once more: a lock that was held at the
 * moment of fork would stop it for ever.
 */
#include "work.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NTHREADS = 4, FORKS = 60 };

static atomic_bool stop;

static void *busy(void *arg)
{
	uint32_t seed = (uint32_t)(intptr_t)arg;

	while (!atomic_load(&stop))
		if (work(seed, 300) == 0)
			puts("damaged");
	return NULL;
}

static void *once(void *arg)
{
	(void)arg;
	return work(7, 500) ? NULL : (void *)1;
}

static int reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 99;
	return WEXITSTATUS(status);
}

static int child(int n)
{
	pthread_t t;
	void *bad;
	pid_t pid;

	if (work(11, 500) == 0 || pthread_create(&t, NULL, once, NULL) != 0)
		return 101;
	pthread_join(t, &bad);
	if (bad)
		return 102;
	pid = fork();
	if (pid == 0)
		_exit(work(12, 500) ? n : 103);
	return reap(pid);
}

int main(void)
{
	pthread_t t[NTHREADS];
	int wrong = 0;

	for (intptr_t i = 0; i < NTHREADS; i++)
		pthread_create(&t[i], NULL, busy, (void *)i);
	for (int n = 0; n < FORKS; n++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(child(n));
		wrong += reap(pid) != n;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	printf("%d wrong\n", wrong);
	return wrong != 0;
}
