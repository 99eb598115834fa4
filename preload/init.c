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
#include "alloc/harden.h"
#include "alloc/heap.h"
#include "alloc/mcentral.h"
#include "alloc/objinfo.h"
#include "alloc/sampler.h"
#include "base/fatal.h"
#include "base/fmt.h"
#include "base/options.h"
#include "base/syscall.h"
#include "gc/gc.h"
#include "gc/roots.h"
#include "observe/brink.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/dumpheap.h"
#include "observe/dumptrace.h"
#include "observe/gcrun.h"
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "preload/alone.h"
#include "preload/exit.h"
#include "preload/follow.h"
#include "preload/handler.h"
#include "preload/inittrace.h"
#include "preload/leakcheck.h"
#include "preload/serve.h"
#include "preload/signal.h"
#include "preload/spawn.h"
#include "profile/stackprint.h"
#include "profile/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Exported by ld.so: the kernel's argc, argv, envp start here. */
extern void *__libc_stack_end;

/* Made by the linker: where this library and its code end, and its data. */
extern const char __ehdr_start[] HIDDEN, etext[] HIDDEN;
extern const char __bss_start[] HIDDEN, _end[] HIDDEN;

static void out_of_memory(size_t size)
{
	brink_refused(size);
	errno = ENOMEM;
}

/* After the last words on a misused pointer. */
static void show_stack(void)
{
	char buf[512];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), STDERR_FILENO);
	if (mcentral_found_late)
		fmt_str(&f, mheap.harden
				? "    (it happened earlier)\n"
				: "    (it happened earlier; GOSTAT_HARDEN=1 "
				  "finds it in the call)\n");
	else if (!sandboxed)
		stackprint_here(&f);
	if (objinfo_blamed && !sandboxed) {
		fmt_str(&f, "  allocated by:\n");
		stackprint_id(&f, objinfo_blamed);
	}
	fmt_flush(&f);
}

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
	unwind_own_text((uintptr_t)__ehdr_start, (uintptr_t)etext);
	fatal_hook = show_stack;
	heap_hooks.out_of_memory = out_of_memory;
	heap_hooks.free_foreign = foreign_free;
	heap_hooks.realloc_foreign = foreign_realloc;
	heap_hooks.usable_foreign = foreign_usable_size;
	heap_init();
	gcrun_init();
	sampler_start();
	sysmem_count((size_t)(_end - __bss_start), SYS_OTHER);
	roots_set_self((uintptr_t)__ehdr_start, (uintptr_t)_end);
	gc_init();
	fork_init();
}

void mheap_on_start(void)
{
	preload_init();
}

/* GOSTAT_ATEXIT is inherited; GOSTAT_ATEXIT_PID says who is meant. */
static bool meant_here(void)
{
	uint64_t pid = options->atexit_pid;

	return pid == 0 || pid == (uint64_t)sys0(SYS_getpid);
}

/* What GOSTAT_ATEXIT says, once. A trace ends with serve_end(). */
static void dump_at_end(void)
{
	static bool done;
	uint32_t actions = options->atexit & ~(uint32_t)ACTION_TRACE;

	if (!actions || !meant_here() || xchg_relaxed(&done, true))
		return;
	/* A handler inside the allocator: a cycle would wait for it. */
	if (sandboxed)
		actions &= ACTION_STATS;
	else if (stop_deferred)
		actions &= ~(uint32_t)(ACTION_GC | ACTION_LEAKS);
	options_dump_at_exit();
	gcrun_at_end();
	dump_run(actions, 0);
}

static void say_goodbye(void)
{
	if (options->verbose)
		warn("process %d ends", dumpfile_pid());
}

/*
 * The last of all exit handlers, after the destructors of every library. What
 * this thread has freed goes back to its spans, where a double free or a
 * pointer into the middle of an object is found at last.
 */
static void end_of_process(void)
{
	if (mcache_self != &mcache_none)
		mcache_flush(mcache_self);
	harden_check();
	dump_at_end();
	serve_end();
	say_goodbye();
}

void preload_exits(void)
{
	/* No question to the kernel without need: there may be a filter. */
	if (!(options->atexit || options->verbose || serve_needed()) ||
		!dumpfile_is_here())
		return;
	dump_at_end();
	serve_end_now();
	say_goodbye();
}

static void at_end(void *arg UNUSED)
{
	end_of_process();
	exit_after_handlers();
}

static void at_quick_end(void *arg UNUSED)
{
	end_of_process();
	exit_after_quick_handlers();
}

/* In no header; with a NULL handle our own unloading does not run it. */
int __cxa_atexit(void (*fn)(void *), void *arg, void *dso);
int __cxa_at_quick_exit(void (*fn)(void *), void *dso);

static void say_hello(void)
{
	Dl_info us;

	if (options->verbose && dladdr((void *)say_hello, &us))
		warn("version " GOSTAT_VERSION " in process %d, from %s",
			(int)sys0(SYS_getpid), us.dli_fname);
}

__attribute__((constructor)) static void on_load(void)
{
	preload_init();
	inittrace_begin();
	mheap_init(); /* before a sandbox can forbid what it asks */
	dl_init();
	foreign_init();
	limits_init();
	alone_init();
	birth_init();
	calls_init();
	roots_init();
	if (options->leakcheck || options->roots == ROOTS_STRICT ||
		options->socket || gcrun_needed())
		roots_note_loader();
	kernelptr_init();
	leakcheck_init();
	exit_init();
	exec_init();
	spawn_init();
	signal_init();
	dumpfile_temporary(environment());
	if (leakcheck_says() || (options->atexit && !options->atexit_out &&
					!options->dump && meant_here()))
		dumpfile_keep_stderr();
	dump_hook(ACTION_HEAP, dumpheap_action);
	dumptrace_init();
	brink_start();
	serve_init(environment());
	__cxa_atexit(at_end, NULL, NULL);
	__cxa_at_quick_exit(at_quick_end, NULL);
	if (!options->follow)
		follow_stop(environment());
	inittrace_line("libgostat");
	say_hello();
}
