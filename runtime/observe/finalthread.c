/* SPDX-License-Identifier: MIT */
/*
 * finalthread: finalizers are code of the program's and run on a thread like
 * the program's own.
 *
 * Not on the helper: the helper is not brought to rest by a cycle and its stack
 * is no root, so whatever a finalizer allocated there would be garbage. This
 * thread has a stack of the usual size, is stopped and scanned like all others,
 * and counts as one of the program's. All signals are blocked but the two that
 * libc sends between threads, of which one is the collector's, too.
 *
 * It exists from the first finalizer on, as in Go. In the child of a fork it is
 * started again with the next one that is set.
 */
#include "observe/finalthread.h"
#include "base/atomics.h"
#include "gc/finalizer.h"
#include "observe/helper.h"
#include "os/syscall.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

enum { WIPE = 16 << 10 };

static struct {
	uint32_t running;
	uint32_t stop;
	uint32_t kick; /* futex word */
	pthread_t id;
	void (*also)(void);
} thread;

/*
 * What finalizers have left below our frame, and in callee-saved registers: it
 * would keep their objects.
 */
static NOINLINE void wipe(void)
{
	char below[WIPE];

	memset(below, 0, sizeof(below));
	__asm__ volatile("xorl %%ebx, %%ebx\n\t"
			 "xorl %%r12d, %%r12d\n\t"
			 "xorl %%r13d, %%r13d\n\t"
			 "xorl %%r14d, %%r14d\n\t"
			 "xorl %%r15d, %%r15d"
			 :
			 : "r"(below)
			 : "rbx", "r12", "r13", "r14", "r15", "memory");
}

static void *run(void *unused)
{
	sys2(SYS_prctl, PR_SET_NAME, "gostat-final");
	for (;;) {
		/* acquire [finalizers]: pairs with finalthread_wake(). */
		uint32_t seen = load_acquire(&thread.kick);
		void (*also)(void) = load_relaxed(&thread.also);

		if (load_relaxed(&thread.stop))
			break;
		finalizer_run();
		if (also)
			also();
		wipe();
		sys4(SYS_futex, &thread.kick, FUTEX_WAIT_PRIVATE, seen, NULL);
	}
	return unused;
}

bool finalthread_start(void)
{
	uint64_t all = ~(UINT64_C(3) << 31), old; /* but 32 and 33 */
	int saved = errno, error;

	if (xchg_relaxed(&thread.running, 1))
		return true;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	error = helper_create(&thread.id, NULL, run, NULL);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
	errno = saved;
	if (error)
		store_relaxed(&thread.running, 0);
	/* It sees to it that the process ends without us; see lastthread.c. */
	return !error && helper_start();
}

bool finalthread_running(void)
{
	return load_relaxed(&thread.running) != 0;
}

void finalthread_also(void (*fn)(void))
{
	store_relaxed(&thread.also, fn);
}

void finalthread_stop(void)
{
	struct timespec pause = {0, 200000};

	if (!finalthread_running())
		return;
	store_relaxed(&thread.stop, 1);
	finalthread_wake();
	while (pthread_tryjoin_np(thread.id, NULL) == EBUSY)
		sys2(SYS_nanosleep, &pause, NULL);
	thread.running = thread.stop = 0;
}

void finalthread_wake(void)
{
	/* release [finalizers]: what is due is in the table. */
	__atomic_fetch_add(&thread.kick, 1, __ATOMIC_RELEASE);
	sys3(SYS_futex, &thread.kick, FUTEX_WAKE_PRIVATE, 1);
}

void finalthread_fork_child(void)
{
	thread.running = 0;
}
