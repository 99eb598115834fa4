/* SPDX-License-Identifier: MIT */
/*
 * init: the library's life in somebody else's process.
 *
 *	first malloc, or the constructor, whichever comes first:
 *		options from the environment, atfork, hooks of the heap
 *	constructor:
 *		what needs libc to be there
 *
 * The library is linked with -z initfirst: its constructor runs before those
 * of all other libraries, libc's own included. So our atfork handlers are
 * registered first and, since prepare handlers run in reverse order, prepare
 * last: nobody's handler can allocate while we hold the heap's locks.
 *
 * Before libc's constructor there is no environ; the initial one lies on the
 * stack, where the dynamic linker remembers the place.
 *
 * Nothing here starts a thread, opens a descriptor or writes a byte, unless a
 * variable asks for it.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"
#include "base/options.h"
#include "os/sysmem.h"
#include "preload/signal.h"

#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Exported by ld.so: the kernel's argc, argv, envp start here. */
extern void *__libc_stack_end;

static void out_of_memory(size_t size UNUSED)
{
	errno = ENOMEM;
}

/* The library's writable segment, as the linker has laid it out. */
extern HIDDEN char __bss_start[], _end[];

static char **environment(void)
{
	long argc = *(long *)__libc_stack_end;
	char **argv = (char **)__libc_stack_end + 1;

	return environ ? environ : argv + argc + 1;
}

void preload_init(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	options_parse(environment(), getauxval(AT_SECURE) != 0);
	heap_hooks.out_of_memory = out_of_memory;
	heap_hooks.free_foreign = foreign_free;
	heap_hooks.realloc_foreign = foreign_realloc;
	heap_hooks.usable_foreign = foreign_usable_size;
	heap_init();
	sysmem_count((size_t)(_end - __bss_start), SYS_OTHER);
	pthread_atfork(mcache_prefork, mcache_postfork_parent,
		mcache_postfork_child);
}

void mheap_on_start(void)
{
	preload_init();
}

__attribute__((constructor)) static void on_load(void)
{
	preload_init();
	dl_init();
	foreign_init();
	limits_init();
	signal_init();
}
