/* SPDX-License-Identifier: MIT */
/*
 * Memory from a malloc that is not the interposed one: libc's own, asked for by
 * version, and that of another namespace's libc. free, realloc and
 * malloc_usable_size must take it.
 */
#include "check.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

static struct {
	void *(*malloc)(size_t n);
	void *(*memalign)(size_t align, size_t n);
} libc;

static const size_t sizes[] = {0, 1, 24, 25, 100, 1000, 1032, 1033, 5000, 60000,
	130000, 135000, 1000000, 4000000};

#define EACH(n) for (const size_t *n = sizes; n < 1 [&sizes]; n++)

static void mix(int full)
{
	void *p[64];

	EACH(n)
	{
		char *q = libc.malloc(*n);

		CHECK(q && malloc_usable_size(q) >= *n);
		memset(q, 5, *n);
		free(q);
		q = libc.malloc(*n);
		memset(q, 7, *n);
		q = realloc(q, *n + 1000);
		CHECK(q && malloc_usable_size(q) >= *n + 1000);
		for (size_t i = 0; i < *n; i++)
			CHECK(q[i] == 7);
		q = realloc(q, *n / 2 + 1);
		free(q);
		q = libc.malloc(*n);
		CHECK(!realloc(q, 0));
		if (!full)
			continue;
		q = libc.memalign(4096, *n);
		CHECK((uintptr_t)q % 4096 == 0);
		free(q);
	}
	/* Neighbours stay whole. */
	for (int i = 0; i < 64; i++)
		p[i] = memset(libc.malloc(100 + (size_t)i), i, 100);
	for (int i = 0; i < 64; i += 2)
		free(p[i]);
	for (int i = 1; i < 64; i += 2) {
		for (int k = 0; k < 100; k++)
			CHECK(((char *)p[i])[k] == i);
		free(p[i]);
	}
}

static void *thread(void *arg)
{
	for (int i = 0; i < 5; i++)
		mix(1);
	return arg;
}

int main(int argc, char **argv)
{
	void *lib = dlopen("libc.so.6", RTLD_NOW);
	pthread_t t[2];

	if (argc > 1 && !strcmp(argv[1], "namespace"))
		lib = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
	libc.malloc = (void *(*)(size_t))dlvsym(lib, "malloc", "GLIBC_2.2.5");
	libc.memalign = (void *(*)(size_t, size_t))dlvsym(
		lib, "memalign", "GLIBC_2.2.5");
	CHECK(libc.malloc && libc.malloc != malloc);
	mix(argc == 1);
	if (argc > 1)
		return 0;
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, thread, NULL));
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return 0;
}
