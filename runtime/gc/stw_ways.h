/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_STW_WAYS_H
#define GOSTAT_GC_STW_WAYS_H

#include "gc/stw.h"

/* The ways to bring a thread to rest, for stw.c alone. */

enum { STW_SIGNO = 33 };

/*
 * stw_signal.c: which signals have handlers, ours included: what has to be
 * blocked so that none runs. 10 us.
 */
uint64_t stw_signal_survey(void);

/* Was one among them that stw_handler_hook does not know? */
bool stw_signal_strange(void);

/*
 * After a survey: our handler for STW_SIGNO is in the kernel, in front of the one
 * that was there. 0, or an errno value.
 */
int stw_signal_install(void);

/*
 * Ask t to come to rest: it answers by setting t->how to STW_SIGNAL or
 * STW_AGAIN and lowering stw_pending, a futex word. Returns 0 (asked), or
 * -ESRCH (gone), -EAGAIN (the queue is full: later), another error.
 */
int stw_signal_ask(struct stw_thread *t, uint32_t word);

extern HIDDEN uint32_t stw_pending;

/* Threads in our handler, those on their way out of it included. */
extern HIDDEN uint32_t stw_inside;

/*
 * stw_frame.c: in a handler, overwrite what the kernel has left as it was
 * between the parts of the signal's frame. init comes first, anywhere.
 */
void stw_frame_init(void);
void stw_frame_wipe(void *info, void *context);

/* Does the thread hold a lock of ours, or is it in a slow path? */
bool stw_is_busy(uintptr_t tcb);

/*
 * stw_proc.c: what the kernel says of a thread that does not answer.
 */
enum stw_state {
	STW_IS_GONE,
	STW_IS_ZOMBIE,	/* ended, but /proc goes on listing it */
	STW_IS_COMING,	/* runs, or will: wait */
	STW_IS_MASKED,	/* our signal is blocked */
	STW_IS_BLOCKED, /* inside the kernel, deaf; sp, tcb and regs are set */
};
enum stw_state stw_proc_look(struct stw_thread *t);

/* stw.c: the other half of stw_stop(), which is written in assembly. */
enum stw_result stw_stop_from(struct stw *w, int64_t limit_ns);

/* The thread descriptor of another thread, 0 if it has none that we know. */
uintptr_t stw_proc_tcb(int tid);

/*
 * stw_trace.c: hold these threads by ptrace, until stw_trace_release(). Those
 * that are held get their regs, sp and tcb. Takes at most limit_ns.
 */
void stw_trace(struct stw_thread **v, unsigned n, int64_t limit_ns);
void stw_trace_release(void);

#endif
