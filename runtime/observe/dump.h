/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_DUMP_H
#define GOSTAT_OBSERVE_DUMP_H

#include "base/options.h"
#include "os/grow.h"

/*
 * Beside the actions that a user can name there is one of our own: memory is
 * nearly at its limit (brink.c).
 */
enum { DUMP_BRINK = 1 << NACTION, DUMP_NACTION = NACTION + 1 };

/*
 * Carry out a set of actions (OR of enum action, DUMP_BRINK): stats here, the
 * others through their hooks, in the order brink, gc, stats, leaks, heap, trace.
 * Output goes where GOSTAT_DUMP says.
 *
 * While one call is busy the set of another is left with it and served when it
 * is done, so nothing is lost, nobody waits, and a handler may interrupt
 * another one; calls of the same set meanwhile make one dump.
 *
 * sp: where a signal has interrupted this thread, for StackInuse; 0: here.
 *
 * Context: anywhere, signal handlers on small stacks included. Takes no lock,
 * allocates nothing, leaves errno and the signal mask as they are.
 */
void dump_run(uint32_t actions, uintptr_t sp);

/*
 * Who carries out an action other than stats. fn runs where dump_run() was
 * called, so maybe in a signal handler: it may also just pass the wish on.
 */
void dump_hook(uint32_t action, void (*fn)(void));

/*
 * Is that action among those that are carried out together with this one?
 * Context: a hook.
 */
bool dump_with(uint32_t action);

/*
 * The suffix for an output's file name and its number (%n): outputs of one
 * dump_run() must not overwrite each other, so where the template has no %n the
 * second and later ones have ".leaks", ".heap", ".trace" behind their names.
 * Context: a hook.
 */
const char *dump_name(enum action action, uint64_t *number);

/*
 * Run fn on a stack of 64 KiB with all signals blocked: for what needs more
 * than a signal's stack may have. It should not wait for anybody. Context: a
 * hook.
 */
void dump_aside(void (*fn)(void));

/* The MemStats as JSON into g; false without memory. Context: a hook. */
bool dump_memstats(struct grow *g);

/*
 * Write one whole file, or to stderr (dumpfile_open() tells what the arguments
 * mean). error, if not 0, is why there is nothing to write. False: a line has
 * said why. Context: a hook.
 */
bool dump_write(const char *what, const char *template, const char *suffix,
	uint64_t number, const struct grow *g, int error);

/* The path that the last dump_write() has written to. Context: a hook. */
const char *dump_path(void);

/* At load. */
void dump_init(void);

/*
 * In the child of fork: what another thread was writing is not ours, and our
 * dumps count from 1.
 */
void dump_fork_child(void);

/* The program has restricted its system calls: only stderr from now on. */
void dump_quiet(void);

#endif
