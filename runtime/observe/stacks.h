/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_STACKS_H
#define GOSTAT_OBSERVE_STACKS_H

#include "base/attrs.h"

/*
 * StackInuse, StackSys and the number of threads, over all threads of the
 * program: bytes from stack pointer to stack top, bytes mapped for stacks
 * without their guard pages. *inuse <= *sys. All three are 0 when there is no
 * /proc to ask.
 *
 * Stops and signals nobody: threads that run meanwhile are seen as they were at
 * some moment. A thread that is running right now, or on a stack other than
 * its first, counts the part of its first stack that it has touched. Stacks
 * inside our own heap are left out, HeapSys has them.
 *
 * Context: anywhere, signal handlers included; allocates nothing, leaves errno
 * alone. Costs some 60 microseconds and 8 more for each thread.
 */
void stacks_read(uint64_t *inuse, uint64_t *sys, unsigned *nthreads);

/*
 * The calling thread is on a stack of ours until stacks_moved(0); sp is its
 * place on its own. One thread at a time.
 */
void stacks_moved(uintptr_t sp);

#endif
