/* SPDX-License-Identifier: MIT */
/*
 * unwind_libunwind: the only file that knows libunwind.
 *
 * Its cached unw_backtrace is good (5 to 7 ns a frame), but a miss takes the
 * loader's lock and makes half a dozen system calls, and a stack that was
 * never seen costs 4 to 5 microseconds. Here it is the second opinion for
 * call sites about which .eh_frame says nothing.
 *
 * libunwind also defines backtrace(); the preload library must not let that
 * replace libc's, so it links libunwind statically and exports none of it.
 */
#include "profile/unwind.h"

#define UNW_LOCAL_ONLY
#include <libunwind.h>

size_t unwind_libunwind(const struct unwind_regs *r, void **scratch,
	size_t nscratch, uintptr_t *pc, size_t max)
{
	int found = unw_backtrace(scratch, (int)nscratch);
	size_t n = 0, first = 0, have = found > 0 ? (size_t)found : 0;

	while (first < have && (uintptr_t)scratch[first] != r->pc)
		first++;
	while (first < have && n < max)
		pc[n++] = (uintptr_t)scratch[first++];
	return n;
}
