/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_FINALIZER_H
#define GOSTAT_GC_FINALIZER_H

#include "gc/mark.h"

/*
 * finalizer: functions to call when an object can't be reached any more.
 */
typedef void finalizer_fn(void *obj);

/*
 * Call fn(obj) once obj was found unreachable; NULL takes the wish back, a
 * second function replaces the first. obj is the address of an object of ours.
 * Who frees obj by hand takes its finalizer back first.
 *
 * 0, or an errno value: EINVAL (no object of ours begins there), ENOMEM.
 */
int finalizer_set(void *obj, finalizer_fn *fn);

/*
 * In the mark, after the roots: what objects with finalizers lead to is live,
 * they themselves only if something else leads to them. Those that are not are
 * marked now (so they are no garbage yet) and their addresses written to
 * out[0..max). Returns how many there are.
 *
 * So of objects that hang off each other the outermost goes first, and the
 * others in later cycles; on a ring nobody does. That is Go's order.
 */
size_t finalizer_mark(struct marker *m, uintptr_t *out, size_t max);

/* How many are set. */
size_t finalizer_count(void);

/* These objects were found: their functions are due. */
void finalizer_due(const uintptr_t *obj, size_t n);

/* Call what is due. On one thread at a time; no lock held. */
void finalizer_run(void);
bool finalizer_pending(void);

#endif
