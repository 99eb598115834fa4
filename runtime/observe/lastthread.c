/* SPDX-License-Identifier: MIT */
/*
 * lastthread: a program whose threads have all ended is over.
 *
 *	main: pthread_exit ─┐                          ┌ leader a zombie, nobody
 *	thread ends ────────┴▶ mcache's key ─▶ helper ─┤ else: finish
 *	                                               └ not yet: look again
 *
 * When main leaves by pthread_exit() the others go on, and the last one to end
 * calls exit(0). Libc counts them for that, and it counts the helper (and the
 * thread of finalizers, where there is one), so it would wait for ever. Nobody
 * can be asked to leave them out; but when the program's threads have gone, ours
 * can go, too.
 *
 * The ends of threads are told by the destructor of the allocator's key, some
 * microseconds before the thread is gone, so the helper looks a few times, less
 * and less often. A thread that has never allocated has no such key; as long as
 * the leader is a zombie the helper looks SLOWEST_MS after SLOWEST_MS anyway.
 * A program whose main thread lives is never looked at.
 *
 * Handlers of exit() may want the stack, the mask and the being-counted of an
 * ordinary thread. They get one: a thread is made, with the mask that the
 * helper's maker had, that ends the helper and is then the last one.
 *
 * Locks: none. All but ended() and finish() runs on the helper.
 *
 * Rejected: ending the helper when main has gone, so that libc's counting works:
 * programs live on without main for years, and want to be observed.
 */
#include "observe/lastthread.h"
#include "alloc/mcache.h"
#include "base/atomics.h"
#include "observe/finalthread.h"
#include "observe/helper.h"
#include "os/clock.h"
#include "os/procfile.h"
#include "os/syscall.h"
#include "os/tasks.h"

#include <signal.h>
#include <string.h>

enum { FASTEST_MS = 1, SLOWEST_MS = 256 };

static void look_soon(void *arg);
static void look(void *arg);

static struct {
	bool main_left; /* its destructor has run */
	bool over;
	int64_t pause_ms;
	uint64_t mask;
	struct helper_work work;
	struct helper_timer timer;
} last = {
	.work = {.fn = look_soon},
	.timer = {.fn = look},
};

/* A thread of the program ends; on that thread. */
static void ended(void)
{
	if (!helper_tid())
		return;
	if (sys0(SYS_gettid) == sys0(SYS_getpid)) {
		helper_start(); /* finish() shall have its descriptors */
		store_relaxed(&last.main_left, true);
	}
	if (load_relaxed(&last.main_left))
		helper_post(&last.work);
}

static void *finish(void *unused)
{
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &last.mask, NULL,
		sizeof(last.mask));
	finalthread_stop();
	helper_stop();
	return unused; /* as the last one that libc counts: exit(0) */
}

/* The process's first thread has ended, but not the process. */
static bool leader_is_zombie(void)
{
	char stat[256];
	const char *state;

	helper_fds_lock();
	procfile_read("/proc/self/stat", stat, sizeof(stat));
	helper_fds_unlock();
	state = strrchr(stat, ')');
	return state && !strncmp(state, ") Z", 3);
}

static bool nobody_left(void)
{
	unsigned n;

	if (!leader_is_zombie())
		return false;
	helper_fds_lock();
	n = tasks_count();
	helper_fds_unlock();
	/* The zombie and that one; the helper is not counted. */
	return n == (finalthread_running() ? 2 : 1);
}

static void look(void *arg UNUSED)
{
	pthread_t thread;

	if (last.over)
		return;
	last.over = nobody_left() &&
		!helper_create(&thread, NULL, finish, NULL);
	if (last.over)
		return;
	last.pause_ms = MIN(last.pause_ms * 2, (int64_t)SLOWEST_MS);
	helper_timer_set(
		&last.timer, clock_mono_ns() + last.pause_ms * 1000000);
}

static void look_soon(void *arg)
{
	last.pause_ms = FASTEST_MS;
	look(arg);
}

void lastthread_watch(uint64_t mask)
{
	last.mask = mask;
	store_relaxed(&mcache_thread_ends, ended);
}

void lastthread_fork_child(void)
{
	last.main_left = last.over = false;
}
