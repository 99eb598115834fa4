/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OS_SANDBOX_H
#define GOSTAT_OS_SANDBOX_H

#include "base/attrs.h"

/*
 * Whether the program has restricted its own system calls (seccomp). From then
 * on it is left in peace. Under a filter only what an allocator may well ask
 * for is asked: mmap, munmap, mremap, mprotect, madvise, futex. In strict mode
 * nothing that is not needed. Set by the preload library; readers need no
 * order.
 */
enum sandbox { SANDBOX_NONE, SANDBOX_FILTER, SANDBOX_STRICT };

extern HIDDEN enum sandbox sandboxed;

#endif
