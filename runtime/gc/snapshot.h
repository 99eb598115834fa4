/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_GC_SNAPSHOT_H
#define GOSTAT_GC_SNAPSHOT_H

#include "base/attrs.h"

/*
 * snapshot: a frozen copy of this process that marks while the program runs.
 *
 *	stw_stop(w);
 *	ok = snapshot_take(&s, mark, arg);	the copy runs mark(arg)
 *	stw_start(w);
 *	while (snapshot_wait(&s, 10 * ms) == SNAPSHOT_RUNNING)
 *		;
 *
 * The copy is a process of its own: it shares with this one only what
 * sysmem_map_shared() gave, has no descriptors, all signals blocked, nobody's
 * locks, and must neither allocate from the heap nor call what might. It may
 * read /proc/self (its own, the frozen mappings), map memory with sysmem, and
 * run threads made with rawclone(). When fn returns (or it dies) it is gone
 * without a trace: no SIGCHLD, nothing for the program's wait().
 *
 * It dies with the thread that took it. Before an exec, snapshot_kill(): the new
 * program would find a child that it never made.
 */

enum snapshot_state {
	SNAPSHOT_NONE,	  /* nothing taken, or reaped */
	SNAPSHOT_RUNNING,
	SNAPSHOT_DONE,	  /* fn returned; its value is in result */
	SNAPSHOT_DIED,	  /* killed by a signal: fault, out of memory, somebody */
	SNAPSHOT_BUDGET,  /* we have killed it: over its budget */
};

/* 0 means no limit. Checked by snapshot_wait(). */
struct snapshot_budget {
	int64_t cpu_ns;	     /* CPU time of the copy */
	int64_t wall_ns;     /* since the snapshot was taken */
	uint64_t copy_bytes; /* memory that the program's writes have doubled */
};

struct snapshot {
	struct snapshot_budget budget; /* set by the caller, before or after */
	bool urgent; /* somebody waits: the program's priority, not a low one */
	int pid;		       /* of the copy; 0: none */
	int error;		       /* errno value of a refused clone, or 0 */
	int result;		       /* what fn returned */
	int signal;		       /* that ended it, for SNAPSHOT_DIED */
	int64_t taken_ns;	       /* monotonic */
	int64_t clone_ns;	       /* what the clone cost the pause */
	int64_t cpu_ns;		       /* of the copy, up to the last wait */
	uint64_t copied;	       /* bytes, as in copy_bytes */
	uint64_t faults; /* page faults of this process at the start */
	bool prepared;
	struct snapshot_shared *shared; /* kept from one to the next */
	enum snapshot_state state;
};

/*
 * May a copy be made now? False where clone would be fatal or harmful: in a
 * program that has restricted itself, or after unshare(CLONE_NEWPID) (the copy would become init of
 * the new namespace, and end it). Reads /proc: call it before stopping the
 * world.
 */
bool snapshot_allowed(void);

/*
 * Before the stop: the kernel counts the faults of a thousand threads in 0.1
 * ms. Without it snapshot_take() does so.
 */
void snapshot_prepare(struct snapshot *s);

/*
 * Make the copy, which calls fn(arg). False when the kernel refuses (s->error:
 * EAGAIN, ENOMEM, EPERM ...): nothing has happened then. The cost is in the
 * page tables: 0.4 ms for 1 GiB in huge pages, 20 ms in small ones.
 *
 * Context: the world is stopped by the caller.
 */
bool snapshot_take(struct snapshot *s, int (*fn)(void *arg), void *arg);

/*
 * Wait for the copy, at most timeout_ns (0: just look). Everything but
 * SNAPSHOT_RUNNING means that it is gone and reaped. The futex word of
 * snapshot_futex() is woken when it is done, for callers that wait for more
 * than this.
 */
enum snapshot_state snapshot_wait(struct snapshot *s, int64_t timeout_ns);
uint32_t *snapshot_futex(struct snapshot *s);

/* End it and reap it, if there is one. */
void snapshot_kill(struct snapshot *s);

/* As above, and give back the memory that the next one would use. */
void snapshot_free(struct snapshot *s);

/*
 * Without a copy: run fn(arg) here and now, with the world stopped, and leave
 * *s as after snapshot_wait(): SNAPSHOT_DONE.
 */
void snapshot_in_place(struct snapshot *s, int (*fn)(void *arg), void *arg);

/* In the child of a fork: the copy is the parent's. */
void snapshot_postfork_child(struct snapshot *s);

/* For tests: refuse with this errno value. */
extern int snapshot_refuse;

#endif
