/* SPDX-License-Identifier: MIT */
/*
 * init: the library's life in a foreign process.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"
#include "base/options.h"

#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <unistd.h>

static void out_of_memory(size_t size UNUSED)
{
	errno = ENOMEM;
}

void preload_init(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	options_parse(environ, getauxval(AT_SECURE) != 0);
	heap_hooks.out_of_memory = out_of_memory;
	heap_init();
	pthread_atfork(mcache_prefork, mcache_postfork_parent,
		mcache_postfork_child);
}

__attribute__((constructor)) static void on_load(void)
{
	preload_init();
}
