/* SPDX-License-Identifier: MIT */
/*
 * What a thread leaves behind in its locals, its thread-local variables and its
 * keys without a destructor is lost when it ends, though its stack stays
 * mapped for the next one.
 *
 * truth: 1 | 3/12726
 * truth: 5 | 15/63630
 */
#include "truth.h"

#include <pthread.h>

static __thread void *tls;
static pthread_key_t key;

static NOINLINE void set(cookie c)
{
	pthread_setspecific(key, reveal(c));
}

static void *thread(void *arg)
{
	void *volatile local;

	put((void *)&local, make(MARKER), 0);
	put(&tls, make(MARKER), 0);
	set(make(MARKER));
	clobber();
	return local ? arg : NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t t[5];

	MUST(!pthread_key_create(&key, NULL));
	for (int i = 0; i < n; i++)
		MUST(!pthread_create(&t[i], NULL, thread, NULL));
	for (int i = 0; i < n; i++)
		MUST(!pthread_join(t[i], NULL));
	clobber();
	now();
	return 0;
}
