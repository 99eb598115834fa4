/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_LEAKS_PLUGIN_H
#define GOSTAT_TESTS_LEAKS_PLUGIN_H

/* What plugin_lib.so has, for the programs that load it. */
#include "truth.h"

#include <dlfcn.h>
#include <limits.h>

struct plugin {
	void *handle;
	void **(*place)(size_t i);
	void (*make)(size_t n);
	void (*forget)(void);
};

/* It lies beside the program. */
static inline struct plugin plugin_load(void)
{
	struct plugin p;
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

	MUST(n > 0);
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "plugin_lib.so");
	p.handle = dlopen(path, RTLD_NOW);
	MUST(p.handle);
	*(void **)&p.place = dlsym(p.handle, "plugin_place");
	*(void **)&p.make = dlsym(p.handle, "plugin_make");
	*(void **)&p.forget = dlsym(p.handle, "plugin_forget");
	MUST(p.place && p.make && p.forget);
	return p;
}

#endif
