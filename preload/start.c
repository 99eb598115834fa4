/* SPDX-License-Identifier: MIT */
/*
 * start: a step between the C library and main.
 *
 * The constructor of this library runs before libc's, which is too early to
 * start a thread or to open anything. __libc_start_main is what every program's
 * entry point calls; where a socket, a trace or cycles were asked for, or the
 * time until main (inittrace), it is given a main of ours that sees to it and
 * jumps on. The jump leaves no frame behind. Libunwind is loaded here, too,
 * where all stacks are recorded; not under leakcheck, where what dlopen() leaves
 * behind before main would be one more thing that looks like the program's.
 */
#include "alloc/mheap.h"
#include "base/options.h"
#include "preload/inittrace.h"
#include "preload/interpose.h"
#include "preload/serve.h"
#include "profile/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

typedef int main_fn(int argc, char **argv, char **envp);
typedef int start_fn(main_fn *main, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*rtld_fini)(void), void *stack_end);

API start_fn __libc_start_main;

static main_fn *program;

static int begin(int argc, char **argv, char **envp)
{
	inittrace_line(program_invocation_short_name);
	if (serve_needed())
		serve_begin();
	return program(argc, argv, envp);
}

API int __libc_start_main(main_fn *main, int argc, char **argv,
	void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
	void *stack_end)
{
	start_fn *real = (start_fn *)dlsym(RTLD_NEXT, "__libc_start_main");
	bool early;

	preload_init();
	if (mheap.record_objects && !options->leakcheck)
		unwind_load_libunwind();
	early = serve_needed() || options->godebug.inittrace;
	program = main;
	return real(early ? begin : main, argc, argv, init, fini,
		rtld_fini, stack_end);
}
