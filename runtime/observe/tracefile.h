/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_TRACEFILE_H
#define GOSTAT_OBSERVE_TRACEFILE_H

#include "base/attrs.h"

/*
 * A trace that goes to a file or a descriptor while it is taken. One at a time,
 * and only while no other is being taken (trace.h). Context: any thread, not in
 * signal handlers; starts the helper thread.
 */

/*
 * Record into the file that the template (as in GOSTAT_TRACE) stands for now;
 * it appears under its name when the trace ends. A name that ends in ".json"
 * gives Trace Event JSON, any other Go's format. False: one line on stderr has
 * said why.
 */
bool tracefile_start(const char *template);

/* The same with a suffix behind the name, and what %n stands for. */
bool tracefile_start_as(
	const char *template, const char *suffix, uint64_t number);

/* Is there one? Context: anywhere. */
bool tracefile_running(void);

/* The file's name, until the next start. Context: where one is started. */
const char *tracefile_path(void);

/*
 * Record to a descriptor of the caller's, in Go's format. Writing keeps out of
 * the way of a slow reader; what it does not take in time is lost event by
 * event. 0, or EBUSY, ENOMEM, EBADF, EAGAIN (no thread).
 */
int tracefile_start_fd(int fd);

/*
 * End it and write the rest; does nothing if there is none. For descriptors
 * this waits for the reader. False if something could not be written (for
 * files a line has said why).
 */
bool tracefile_stop(void);

/*
 * The process ends: stop, and let the helper start no more, whose file nobody
 * would finish.
 */
void tracefile_end(void);

/*
 * The same by way of _exit(), which may be called in a handler that has
 * interrupted anything: who can't have the lock soon leaves the trace behind.
 */
void tracefile_end_now(void);

/*
 * Around fork, for trace.h too. The child writes nothing: the file is its
 * parent's.
 */
void tracefile_prefork(void);
void tracefile_parent(void);
void tracefile_child(void);

#endif
