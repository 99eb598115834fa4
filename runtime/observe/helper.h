/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_HELPER_H
#define GOSTAT_OBSERVE_HELPER_H

#include "base/attrs.h"

#include <poll.h>
#include <pthread.h>

/*
 * The one background thread. It exists from the first helper_start() on, waits
 * for work, timers and descriptors, and costs nothing while it waits.
 */

/* Work to do there, once per post. fn may post the same item again. */
struct helper_work {
	void (*fn)(void *arg);
	void *arg;
	struct helper_work *next; /* owned by helper.c, like what follows */
	uint32_t posted;
};

struct helper_timer {
	void (*fn)(void *arg);
	void *arg;
	int64_t at_ns;
	struct helper_timer *next;
};

/*
 * Descriptors to wait for. fill() writes up to max entries and may lower
 * *deadline_ns (monotonic); ready() is called after every wait with the same
 * entries. Both run on the helper thread.
 */
struct helper_poller {
	unsigned (*fill)(struct pollfd *p, unsigned max, int64_t *deadline_ns);
	void (*ready)(const struct pollfd *p, unsigned n);
};

/* How many descriptors the poller may ask for. */
enum { HELPER_NPOLL = 80 };

/*
 * Start the thread unless it runs. False if the system refuses. Context: any
 * thread; not in signal handlers, not with a lock held.
 */
bool helper_start(void);

/*
 * The same for who does not use descriptors of the program's, stderr among
 * them, and posts no work that does: then it has none. The first helper_start()
 * of another one changes that.
 */
bool helper_start_apart(void);

/*
 * End the thread and wait until it is gone; what is queued stays queued for
 * the next helper_start(). For calls that fail in a process with threads
 * (unshare, setns), and tests. Context: as above, one caller at a time, not the
 * helper itself.
 */
void helper_stop(void);

/*
 * helper_stop(), if there is a thread and this is its process (the child of a
 * vfork is not). True if there was one. Context: as for helper_stop().
 */
bool helper_pause(void);

/*
 * Let the helper call w->fn(w->arg) soon, in order of posting. Posting what is
 * still queued does nothing. If there is no thread, the work waits for
 * helper_start(). Context: anywhere, signal handlers included.
 */
void helper_post(struct helper_work *w);

/*
 * Call t->fn(t->arg) on the helper at a time of the monotonic clock, once.
 * Setting a timer again moves it. cancel: fn may still run once if the helper
 * is just about to. Context: any thread, not in signal handlers.
 */
void helper_timer_set(struct helper_timer *t, int64_t at_ns);
void helper_timer_cancel(struct helper_timer *t);

/* What to wait for besides; NULL for nothing. p stays valid for ever. */
void helper_set_poller(const struct helper_poller *p);

/* The kernel's id of the thread, 0 if there is none. */
int helper_tid(void);

/*
 * Held by whoever changes the set of our descriptors, or has one open for a
 * moment, so that fork sees it whole: it takes this lock last. For short work;
 * no other lock is taken inside.
 */
void helper_fds_lock(void);
void helper_fds_unlock(void);

/*
 * Around fork. The child has no helper and an empty queue; it may start one of
 * its own. Timers and poller are forgotten too. helper_fds_lock() comes last of
 * all; the child gives it back here.
 */
void helper_prefork(void);
void helper_parent(void);
void helper_child(void);

/*
 * How a thread is made: pthread_create, unless preload/ sets its own way to
 * reach libc's (its own pthread_create is there to watch the program's).
 */
extern int (*helper_create)(pthread_t *, const pthread_attr_t *,
	void *(*)(void *), void *);

#endif
