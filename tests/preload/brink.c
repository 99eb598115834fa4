/* SPDX-License-Identifier: MIT */
/*
 * brink: threads with the smallest stacks there are allocate until nothing is
 * left, then tell it by errno; some of it by realloc, some aligned. A child
 * does the same once more.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, MIB = 1 << 20 };

static void *take(unsigned kind, void *old, size_t size)
{
	void *p = NULL;

	switch (kind % 4) {
	case 0:
		return malloc(size);
	case 1:
		return calloc(1, size);
	case 2:
		return realloc(old, size);
	default:
		return posix_memalign(&p, 65536, size) ? NULL : p;
	}
}

static void *eat(void *arg)
{
	unsigned kind = (unsigned)(size_t)arg;
	void *p = NULL, *more;
	size_t size = 50000;

	errno = 0;
	while ((more = take(kind, p, size))) {
		CHECK(errno == 0);
		memset(more, 1, 1000);
		p = more;
		size += kind % 4 == 2 ? 50000 : 100;
	}
	CHECK(errno == (kind % 4 == 3 ? 0 : ENOMEM));
	return NULL;
}

static void feast(void)
{
	pthread_t t[THREADS];
	pthread_attr_t attr;

	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(&attr, 16384));
	for (size_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], &attr, eat, (void *)i));
	for (size_t i = 0; i < THREADS; i++)
		CHECK(!pthread_join(t[i], NULL));
}

int main(void)
{
	int status;
	pid_t pid = fork();

	alarm(300);
	feast();
	if (pid == 0)
		_exit(0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}
