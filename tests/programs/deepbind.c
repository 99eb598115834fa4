/* SPDX-License-Identifier: MIT */
/*
 * deepbind: plug-ins opened in every way. With RTLD_DEEPBIND a plug-in finds
 * libc's malloc before a preloaded one; blocks still cross from the one side
 * to the other.
 */
#include "work.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

enum { BLOCKS = 2000 };

static char path[4096];

struct lib {
	void *handle;
	char *(*make)(const char *);
	void (*drop)(char *);
	int (*count)(void);
};

static int find(struct lib *l)
{
	if (!l->handle) {
		puts(dlerror());
		return 0;
	}
	*(void **)&l->make = dlsym(l->handle, "lib_make");
	*(void **)&l->drop = dlsym(l->handle, "lib_drop");
	*(void **)&l->count = dlsym(l->handle, "lib_count");
	return l->make && l->drop && l->count;
}

/* Blocks of the library freed here, and blocks from here freed there. */
static void *cross(void *arg)
{
	const struct lib *l = arg;
	char text[300];

	for (int i = 0; i < BLOCKS; i++) {
		memset(text, 'x', sizeof(text));
		text[i % 299] = '\0';
		free(l->make(text));
		l->drop(strdup(text));
	}
	return NULL;
}

/* A namespace has a libc of its own: its blocks stay inside. */
static void inside(const struct lib *l)
{
	for (int i = 0; i < BLOCKS; i++)
		l->drop(l->make("a name space"));
}

int main(int argc, char **argv)
{
	static const int flags[] = {RTLD_NOW, RTLD_LAZY | RTLD_DEEPBIND,
		RTLD_NOW | RTLD_DEEPBIND | RTLD_LOCAL,
		RTLD_NOW | RTLD_GLOBAL};
	struct lib l;
	pthread_t t;

	(void)argc;
	snprintf(path, sizeof(path), "%s_lib.so", argv[0]);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		l.handle = dlopen(path, flags[i]);
		if (!find(&l))
			return 1;
		cross(&l);
		pthread_create(&t, NULL, cross, &l);
		pthread_join(t, NULL);
		printf("%d\n", l.count());
		dlclose(l.handle);
	}
	l.handle = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
	if (!find(&l))
		return 2;
	inside(&l);
	printf("%d %d\n", l.count(), work(1, 5000) != 0);
	return 0;
}
