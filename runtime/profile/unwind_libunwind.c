/* SPDX-License-Identifier: MIT */
/*
 * unwind_libunwind: the only file that knows libunwind.
 *
 * Its cached unw_backtrace is good (5 to 7 ns a frame), but a miss takes the
 * loader's lock and makes half a dozen system calls, and a stack that was
 * never seen costs 4 to 5 microseconds. Here it is the second opinion for
 * call sites about which .eh_frame says nothing.
 *
 * Only who records every allocation ever asks for that. So no process is linked
 * with it: with liblzma, which it needs, it took 140 KiB and 0.1 ms of each. It
 * is loaded before main, where it is wanted and there is one; the constructor
 * would be too early, for dlopen() would then start libc without an environ.
 * Not under leakcheck: what the loader keeps of it, and thread-local storage
 * that moves for its sake, showed among the leaks when LSAN_OPTIONS leave out
 * globals or TLS.
 *
 * libunwind also defines backtrace(); RTLD_LOCAL keeps that from replacing
 * libc's.
 */
#include "profile/unwind.h"
#include "base/atomics.h"

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <dlfcn.h>

typedef int backtrace_fn(void **, int);

static backtrace_fn *ask;

void unwind_load_libunwind(void)
{
	void *lib = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
	backtrace_fn *found =
		lib ? (backtrace_fn *)dlsym(lib, "unw_backtrace") : NULL;

	_Static_assert(
		__builtin_types_compatible_p(backtrace_fn,
			__typeof__(unw_backtrace)),
		"what the header declares");
	store_relaxed(&ask, found);
}

void unwind_forget_libunwind(void)
{
	store_relaxed(&ask, (backtrace_fn *)NULL);
}

bool unwind_has_libunwind(void)
{
	return load_relaxed(&ask) != NULL;
}

size_t unwind_libunwind(const struct unwind_regs *r, void **scratch,
	size_t nscratch, uintptr_t *pc, size_t max)
{
	backtrace_fn *fn = load_relaxed(&ask);
	int found = fn ? fn(scratch, (int)nscratch) : 0;
	size_t n = 0, first = 0, have = found > 0 ? (size_t)found : 0;

	while (first < have && (uintptr_t)scratch[first] != r->pc)
		first++;
	while (first < have && n < max)
		pc[n++] = (uintptr_t)scratch[first++];
	return n;
}
