/* SPDX-License-Identifier: MIT */
/*
 * helper: the one thread of our own in somebody else's process.
 *
 *	helper_post() ──▶ queue ┐
 *	helper_timer_set() ─────┼──▶ loop ──▶ fn(arg)
 *	poller (sockets) ───────┘     └─ sleeps: futex, or poll with a socket
 *
 * Without sockets it sleeps on a futex and holds no descriptor. With them it
 * sleeps in poll(), and a pair of sockets of our own wakes it.
 *
 * Who runs cycles only (helper_start_apart) opens files of /proc from time to
 * time, for microseconds. The program would get the next number for what it
 * opens then, and a child that lists its descriptors sees one too many. So such
 * a helper has a table of its own, an empty one: it holds nobody's pipe open.
 * What writes to the program's descriptors, or makes threads that run code of
 * the program's, needs its table, and asks for it with helper_start().
 *
 * pthread_create or raw clone? pthread_create:
 *   - setuid() and its relatives reach every thread that libc knows. A raw
 *     thread would keep the old credentials: root, inside a process that has
 *     just dropped it.
 *   - a raw thread has no TLS of its own. Everything here avoids errno and
 *     malloc, but what it calls into keeps thread-local state.
 * What pthread_create costs, and who pays: one calloc of libc's (the thread's
 * table of TLS blocks), once for each start; libc counts the thread, so
 * lastthread.c ends the process when the program's last thread ends; preload's
 * own pthread_create must not take it for one of the program's (helper_create).
 *
 * All signals are blocked, so that none meant for the process is delivered
 * here. Except 32 and 33: libc uses them between threads, and setuid() would
 * wait for this one for ever.
 *
 * Invariants:
 *   I1  a work item waits to be run exactly while its posted is the present
 *       generation; a fork begins a new one, since the child does not know
 *       which items the parent's helper had just taken out of the queue;
 *   I2  whoever posts raises kick before it looks at asleep, and the helper
 *       sets asleep before it looks at kick: one of them sees the other.
 *
 * Locks: helper.lock (LOCK_HELPER): start, stop, timers. helper.fds (LOCK_FDS):
 * the pair, and the sockets of httpd.c. The queue has none.
 *
 * Rejected: signals to wake poll() (the numbers are the program's), eventfd
 * (see ownfd.c), a pipe (the program may close one end, and the next write to
 * the other is a SIGPIPE in its thread), a poll time-out of a few milliseconds
 * (an idle process would never be idle).
 */
#include "observe/helper.h"
#include "base/atomics.h"
#include "base/lock.h"
#include "gc/leakscope.h"
#include "observe/lastthread.h"
#include "os/clock.h"
#include "os/ownfd.h"
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum {
	/*
	 * Enough for the deepest writer (two dozen KiB of frames) and a signal
	 * frame with AVX-512 state. libc puts the static TLS of all libraries
	 * on top of it, so where that is large the stack is doubled.
	 */
	STACK_MIN = 64 * 1024,
	STACK_MAX = 1024 * 1024,
	/*
	 * The longest sleep with descriptors: what happens to them without us
	 * being told (the program closes them all) is noticed after it.
	 */
	POLL_MAX_MS = 5000,
	/* ... and without the pair, work has to be looked for. */
	POLL_BLIND_MS = 100,
};

enum asleep { AWAKE, IN_FUTEX, IN_POLL };

static struct helper {
	struct lock lock;
	/* Under lock. */
	bool running;
	int pid; /* a fork that nobody told us about makes this differ */
	pthread_t thread;
	char *stack; /* reserved with a guard page below */
	size_t stack_size;
	bool share;    /* somebody needs the program's descriptors */
	bool apart;    /* the running thread does not have them */
	uint64_t mask; /* of the thread that has made it */
	struct helper_timer *timers; /* earliest first */

	struct lock fds;
	struct ownfd pair[2]; /* under fds */

	/* Atomic. */
	int tid;
	bool stop;
	uint32_t moving; /* is being started again, to share */
	uint32_t kick;
	uint32_t asleep; /* enum asleep */
	uint32_t generation;
	struct helper_work *queue; /* newest first */
	const struct helper_poller *poller;
} helper = {
	.lock = LOCK_INIT(LOCK_HELPER),
	.fds = LOCK_INIT(LOCK_FDS),
	.generation = 1,
	.pair = {OWNFD_NONE, OWNFD_NONE},
};

int (*helper_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
	void *) = pthread_create;

static void wake(void)
{
	uint32_t free = 0;

	__atomic_fetch_add(&helper.kick, 1, __ATOMIC_SEQ_CST); /* I2 */
	switch (__atomic_load_n(&helper.asleep, __ATOMIC_SEQ_CST)) { /* I2 */
	case IN_FUTEX:
		sys3(SYS_futex, &helper.kick, FUTEX_WAKE_PRIVATE, 1);
		break;
	case IN_POLL:
		/*
		 * If the lock is taken, then by the helper, which is not in
		 * poll() then, or by somebody who is about to write here.
		 * Not trylock(), which minds ranks: nobody waits here, and
		 * work may be posted with any lock held.
		 * acquire [lock]: pairs with the release in unlock().
		 */
		defer_stop();
		if (!cas_acquire(&helper.fds.state, &free, 1)) {
			permit_stop();
			break;
		}
		if (ownfd_valid(&helper.pair[1]))
			sys6(SYS_sendto, helper.pair[1].fd, (long)"", 1,
				MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
		unlock(&helper.fds);
	}
}

void helper_post(struct helper_work *w)
{
	struct helper_work *head = load_relaxed(&helper.queue);
	uint32_t generation = load_relaxed(&helper.generation);

	/* acq_rel [posted]: pairs with the release in run_queue(). */
	if (xchg_acq_rel(&w->posted, generation) == generation)
		return;
	/* release [queue]: publishes next and what the poster has written. */
	do
		w->next = head;
	while (!cas_release(&helper.queue, &head, w));
	wake();
}

static void run_queue(void)
{
	/* acquire [queue]: pairs with the release in helper_post(). */
	struct helper_work *w = xchg_acquire(&helper.queue, NULL), *next;
	struct helper_work *oldest = NULL;

	for (; w; w = next) {
		next = w->next;
		w->next = oldest;
		oldest = w;
	}
	for (w = oldest; w; w = next) {
		void (*fn)(void *) = w->fn;
		void *arg = w->arg;

		next = w->next;
		/* release [posted]: fn, arg and next have been read. */
		store_release(&w->posted, 0);
		fn(arg);
	}
}

/* Under lock. */
static bool unlink_timer(struct helper_timer *t)
{
	struct helper_timer **p = &helper.timers;

	while (*p && *p != t)
		p = &(*p)->next;
	if (!*p)
		return false;
	*p = t->next;
	return true;
}

void helper_timer_set(struct helper_timer *t, int64_t at_ns)
{
	struct helper_timer **p = &helper.timers;

	lock(&helper.lock);
	unlink_timer(t);
	t->at_ns = at_ns;
	while (*p && (*p)->at_ns <= at_ns)
		p = &(*p)->next;
	t->next = *p;
	*p = t;
	unlock(&helper.lock);
	wake();
}

AT_START void helper_timer_cancel(struct helper_timer *t)
{
	lock(&helper.lock);
	unlink_timer(t);
	unlock(&helper.lock);
}

/* Run what is due; when the next one is, or INT64_MAX. */
static int64_t run_timers(void)
{
	int64_t now = clock_mono_ns(), next = INT64_MAX;
	struct helper_timer *t;

	lock(&helper.lock);
	while ((t = helper.timers) && t->at_ns <= now) {
		void (*fn)(void *) = t->fn;
		void *arg = t->arg;

		helper.timers = t->next;
		unlock(&helper.lock);
		fn(arg);
		lock(&helper.lock);
	}
	if (t)
		next = t->at_ns;
	unlock(&helper.lock);
	return next;
}

void helper_set_poller(const struct helper_poller *p)
{
	/* release [poller]: publishes what its functions use. */
	store_release(&helper.poller, p);
	wake();
}

void helper_fds_lock(void)
{
	lock(&helper.fds);
}

void helper_fds_unlock(void)
{
	unlock(&helper.fds);
}

/* The pair, made again if the program has closed it; false if there is none. */
static bool have_pair(void)
{
	int fd[2] = {-1, -1};
	bool have;

	lock(&helper.fds);
	have = ownfd_valid(&helper.pair[0]) && ownfd_valid(&helper.pair[1]);
	if (!have) {
		ownfd_close(&helper.pair[0]);
		ownfd_close(&helper.pair[1]);
		if (!sys_failed(sys4(SYS_socketpair, AF_UNIX,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			    fd))) {
			helper.pair[0] = ownfd_adopt(fd[0]);
			helper.pair[1] = ownfd_adopt(fd[1]);
			have = helper.pair[0].fd >= 0 && helper.pair[1].fd >= 0;
		}
	}
	unlock(&helper.fds);
	return have;
}

static void drain_pair(void)
{
	char buf[64];

	lock(&helper.fds);
	if (ownfd_valid(&helper.pair[0]))
		while (sys3(SYS_read, helper.pair[0].fd, buf, sizeof(buf)) ==
			sizeof(buf))
			;
	unlock(&helper.fds);
}

static void sleep_futex(uint32_t seen, int64_t ns)
{
	struct timespec ts = {ns / 1000000000, ns % 1000000000};

	__atomic_store_n(&helper.asleep, IN_FUTEX, __ATOMIC_SEQ_CST); /* I2 */
	/* The kernel looks at kick once more before it sleeps. */
	sys4(SYS_futex, &helper.kick, FUTEX_WAIT_PRIVATE, seen,
		ns == INT64_MAX ? NULL : &ts);
	store_relaxed(&helper.asleep, AWAKE);
}

static void sleep_poll(struct pollfd *p, unsigned n, uint32_t seen, int64_t ns)
{
	bool pair = have_pair();
	int64_t max = pair ? POLL_MAX_MS : POLL_BLIND_MS;
	int64_t ms = ns / 1000000 + (ns % 1000000 != 0);

	p[n] = (struct pollfd){.fd = pair ? helper.pair[0].fd : -1,
		.events = POLLIN};
	__atomic_store_n(&helper.asleep, IN_POLL, __ATOMIC_SEQ_CST); /* I2 */
	if (__atomic_load_n(&helper.kick, __ATOMIC_SEQ_CST) != seen) /* I2 */
		ms = 0;
	if (sys3(SYS_poll, p, n + 1, MIN(ms, max)) < 0)
		for (unsigned i = 0; i < n; i++)
			p[i].revents = 0;
	store_relaxed(&helper.asleep, AWAKE);
	if (pair && p[n].revents)
		drain_pair();
}

static void turn(void)
{
	struct pollfd fds[HELPER_NPOLL + 1];
	uint32_t seen = load_relaxed(&helper.kick);
	const struct helper_poller *p;
	int64_t deadline, ns;
	unsigned n = 0;

	/* acquire [poller]: pairs with helper_set_poller(). */
	p = load_acquire(&helper.poller);
	run_queue();
	deadline = run_timers();
	if (p)
		n = p->fill(fds, HELPER_NPOLL, &deadline);
	ns = deadline == INT64_MAX ? INT64_MAX
				   : MAX(deadline - clock_mono_ns(), 0);
	if (n)
		sleep_poll(fds, n, seen, ns);
	else
		sleep_futex(seen, ns);
	if (p)
		p->ready(fds, n);
}

static void *run(void *unused)
{
	int tid = (int)sys0(SYS_gettid);

	sys2(SYS_prctl, PR_SET_NAME, "gostat");
	/* Not the last user of the table: its maker waits for us. */
	helper.apart = !helper.share && !sys_failed(sys3(SYS_close_range, 0,
						~0U, CLOSE_RANGE_UNSHARE));
	tasks_hide(tid);
	lastthread_watch(helper.mask);
	/* release [tid]: apart is read under lock by who waited for it. */
	store_release(&helper.tid, tid);
	/* acquire [stop]: pairs with helper_stop(). */
	while (!load_acquire(&helper.stop))
		turn();
	store_relaxed(&helper.tid, 0);
	tasks_hide(0);
	return unused;
}

/* A stack with a guard page below. Under lock. */
static bool map_stack(size_t size)
{
	char *p = sysmem_reserve(size + OS_PAGE);

	if (!p)
		return false;
	if (!sysmem_commit(p + OS_PAGE, size, SYS_OTHER)) {
		sysmem_unreserve(p, size + OS_PAGE);
		return false;
	}
	helper.stack = p;
	helper.stack_size = size;
	return true;
}

static void unmap_stack(void)
{
	sysmem_unmap(helper.stack + OS_PAGE, helper.stack_size, SYS_OTHER);
	sysmem_unreserve(helper.stack, OS_PAGE);
	helper.stack = NULL;
}

static int create(void)
{
	pthread_attr_t attr;
	int error = EINVAL;

	pthread_attr_init(&attr);
	for (size_t size = STACK_MIN; error == EINVAL && size <= STACK_MAX;
		size *= 2) {
		if (!map_stack(size))
			return ENOMEM;
		error = pthread_attr_setstack(&attr, helper.stack + OS_PAGE,
			size);
		if (!error)
			error = helper_create(&helper.thread, &attr, run, NULL);
		if (error)
			unmap_stack();
	}
	pthread_attr_destroy(&attr);
	return error;
}

/* With the mask that the helper will have: it inherits its maker's. */
static int create_with_signals_blocked(void)
{
	uint64_t all = ~(UINT64_C(3) << 31), old; /* but 32 and 33 */
	int saved = errno, error;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	helper.mask = old;
	leak_disable(); /* libc's table for it hangs off a stack of ours */
	error = create();
	leak_enable();
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	errno = saved;
	return error;
}

/* The thread is gone without having ended: this is the child of a fork. */
static void forget_thread(void)
{
	helper.stack = NULL;
	ownfd_close(&helper.pair[0]);
	ownfd_close(&helper.pair[1]);
	helper.running = helper.stop = false;
	helper.share = helper.apart = false;
	helper.moving = 0;
	helper.tid = 0;
	helper.asleep = AWAKE;
	helper.timers = NULL;
	helper.poller = NULL;
	tasks_hide(0);
	lastthread_fork_child();
	helper.generation++;
	helper.queue = NULL;
}

/* It has a table of its own, and now is to have the program's. */
static void move(void)
{
	uint32_t no = 0;
	bool apart;

	if (sandboxed)
		return;
	lock(&helper.lock);
	helper.share = true;
	apart = helper.running && helper.apart &&
		helper.pid == (int)sys0(SYS_getpid);
	unlock(&helper.lock);
	/* relaxed: only who moves it stops it. */
	if (!apart || !cas_relaxed(&helper.moving, &no, 1))
		return;
	helper_stop();
	store_relaxed(&helper.moving, 0);
}

bool helper_start(void)
{
	move();
	return helper_start_apart();
}

bool helper_start_apart(void)
{
	int pid;
	bool running;

	if (sandboxed)
		return false;
	pid = (int)sys0(SYS_getpid);
	lock(&helper.lock);
	/* Its stack stays: libc, not told either, has it in a list still. */
	if (helper.running && helper.pid != pid)
		forget_thread();
	if (!helper.running && !create_with_signals_blocked()) {
		helper.running = true;
		helper.pid = pid;
		/* It must not be counted as one of the program's. */
		/* acquire [tid]: pairs with the release in run(). */
		while (!load_acquire(&helper.tid))
			sys0(SYS_sched_yield);
	}
	running = helper.running;
	unlock(&helper.lock);
	return running;
}

void helper_stop(void)
{
	struct timespec pause = {0, 200000};
	pthread_t thread;

	lock(&helper.lock);
	if (!helper.running || helper.pid != (int)sys0(SYS_getpid)) {
		unlock(&helper.lock);
		return;
	}
	thread = helper.thread;
	unlock(&helper.lock);

	/* release [stop]: what was done before is seen by the loop. */
	store_release(&helper.stop, true);
	wake();
	/* Not pthread_join, which would be a cancellation point. */
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		sys2(SYS_nanosleep, &pause, NULL);

	lock(&helper.lock);
	unmap_stack();
	helper.running = helper.stop = false;
	unlock(&helper.lock);
}

bool helper_pause(void)
{
	if (!helper_tid() || helper.pid != (int)sys0(SYS_getpid))
		return false;
	helper_stop();
	return true;
}

int helper_tid(void)
{
	return load_relaxed(&helper.tid);
}

void helper_prefork(void)
{
	lock(&helper.lock);
}

void helper_parent(void)
{
	unlock(&helper.lock);
}

void helper_child(void)
{
	lock_reinit(&helper.fds);
	lock_reinit(&helper.lock);
	if (helper.stack)
		unmap_stack();
	forget_thread();
}
