/* SPDX-License-Identifier: MIT */
/*
 * snapshot: fork, without anybody noticing.
 *
 *	program                         copy
 *	(stopped) clone ───────────────▶ own descriptor table, empty
 *	(goes on)                        own process group, folder "/"
 *	                                 low priority or not, first to be killed
 *	                                 fn(arg)
 *	snapshot_wait ◀── futex, shared ─ result, state = DONE
 *	wait4(pid, __WALL) ◀──────────── exit
 *
 * Exit signal 0: no SIGCHLD, and wait() without __WALL does not know it.
 * CLONE_UNTRACED: nor does a debugger. All signals are blocked, since the copy
 * has the program's handlers and its terminal.
 *
 * CLONE_FILES, then a table of its own with nothing in it: a copy of the table
 * would hold every descriptor open until the copy got to close it, and cost
 * 0.1 ms more with 15,000 of them. Record locks are safe: they belong to the
 * table, and the new one has none.
 *
 * No CLONE_FS, other than one might think: as long as the folders are shared,
 * setns() into another mount or user namespace fails in the program. The copy
 * holds a reference to the current folder only until it has changed to "/".
 *
 * No new session: under autogroup scheduling that would give the copy as much
 * of the CPU as the whole program, whatever its nice value.
 *
 * If it dies, nobody sets DONE; so waiting is done in slices with a look at the
 * process. A program that waits for all its children with __WALL may reap it:
 * then what shared memory says, counts.
 *
 * Invariants:
 *   N1  pid != 0 exactly in state RUNNING, and then it is our unreaped child
 *       or somebody has reaped it without asking;
 *   N2  the copy uses system calls only, no libc and no lock.
 *
 * Rejected: a pidfd (a descriptor in the program's table); pipes (the same);
 * vfork-like sharing (no snapshot).
 */
#include "gc/snapshot.h"
#include "base/atomics.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	SLICE_NS = 5000000, /* between looks whether it is alive */
	REAP_NS = 200000,   /* its address space takes a while to go */
	NICE = 10,
	MAX_FDS = 1 << 16, /* closed one by one before Linux 5.9 */
};

/* One page that both sides see. */
struct snapshot_shared {
	uint32_t done; /* futex word */
	int result;
};

int snapshot_refuse;

/*
 * Would a child be in this process's PID namespace? Until the other one has its
 * first process, its link is there but leads nowhere.
 */
static bool pid_namespace_is_ours(void)
{
	static const char children[] = "/proc/self/ns/pid_for_children";
	char x[64], y[64];
	struct stat st;
	long n = sys3(SYS_readlink, "/proc/self/ns/pid", x, sizeof(x));
	long m = sys3(SYS_readlink, children, y, sizeof(y));

	if (!sys_failed(n) && !sys_failed(m))
		return n == m && !memcmp(x, y, (size_t)n);
	/* Before Linux 4.12 there is no such file. */
	return sys_failed(sys2(SYS_lstat, children, &st));
}

/*
 * Valgrind ends a program that calls clone in a way that it does not know, as
 * ours is. It answers requests that stand behind a sequence which does nothing
 * on a CPU.
 */
static bool under_valgrind(void)
{
	enum { RUNNING_ON_VALGRIND = 0x1001 };
	uint64_t request[6] = {RUNNING_ON_VALGRIND}, answer = 0;

	__asm__ volatile("	rolq	$3, %%rdi\n"
			 "	rolq	$13, %%rdi\n"
			 "	rolq	$61, %%rdi\n"
			 "	rolq	$51, %%rdi\n"
			 "	xchgq	%%rbx, %%rbx\n"
			 : "+d"(answer)
			 : "a"(request)
			 : "cc", "memory");
	return answer != 0;
}

bool snapshot_allowed(void)
{
	return !sandboxed && !under_valgrind() && pid_namespace_is_ours();
}

/* -------- the copy -------- */

static void close_everything(void)
{
	if (!sys_failed(sys3(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE)))
		return;
	if (sys_failed(sys1(SYS_unshare, CLONE_FILES)))
		return; /* the program's own table: hands off */
	for (int fd = 0; fd < MAX_FDS; fd++)
		sys1(SYS_close, fd);
}

static void kill_me_first(void)
{
	long fd = sys2(SYS_open, "/proc/self/oom_score_adj", O_WRONLY);

	if (sys_failed(fd))
		return;
	sys3(SYS_write, fd, "1000", 4);
	sys1(SYS_close, fd);
}

static void settle_in(bool urgent)
{
	/* One byte: no core file, and no pipe to whoever collects them. */
	struct rlimit core = {1, 1};
	struct sched_param none = {0};

	close_everything();
	sys1(SYS_chdir, "/");
	sys2(SYS_setpgid, 0, 0);
	sys2(SYS_setrlimit, RLIMIT_CORE, &core);
	sys2(SYS_prctl, PR_SET_NAME, "gostat-mark");
	if (!urgent) {
		sys3(SYS_sched_setscheduler, 0, SCHED_BATCH, &none);
		/* 20 less what it is; root could make it less nice. */
		if (sys2(SYS_getpriority, PRIO_PROCESS, 0) > 20 - NICE)
			sys3(SYS_setpriority, PRIO_PROCESS, 0, NICE);
	}
	cpus_use_all();
	kill_me_first();
}

NORETURN static void be_the_copy(struct snapshot *s, int parent,
	int (*fn)(void *), void *arg)
{
	struct snapshot_shared *sh = s->shared;


	sys2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	/* It may have died before that. */
	if (sys0(SYS_getppid) == parent) {
		settle_in(s->urgent);
		sh->result = fn(arg);
		/* release [done]: all that fn has left in shared memory. */
		store_release(&sh->done, 1);
		sys3(SYS_futex, &sh->done, FUTEX_WAKE, 1);
	}
	for (;;)
		sys1(SYS_exit_group, 0);
}

/* -------- the program -------- */

static uint64_t page_faults(void)
{
	struct rusage u = {0};

	sys2(SYS_getrusage, RUSAGE_SELF, &u);
	return (uint64_t)u.ru_minflt;
}

static void begin(struct snapshot *s)
{
	s->pid = s->error = s->result = s->signal = 0;
	s->clone_ns = s->cpu_ns = 0;
	s->copied = 0;
	s->state = SNAPSHOT_NONE;
	s->taken_ns = clock_mono_ns();
}

static bool refused(struct snapshot *s, int error)
{
	s->error = error;
	return false;
}

void snapshot_prepare(struct snapshot *s)
{
	if (!s->shared)
		s->shared = sysmem_map_shared(OS_PAGE, SYS_GC);
	s->faults = page_faults();
	s->prepared = true;
}

bool snapshot_take(struct snapshot *s, int (*fn)(void *arg), void *arg)
{
	long flags = CLONE_FILES | CLONE_UNTRACED, pid; /* exit signal 0 */
	uint64_t all = ~UINT64_C(0), mask;
	int self = (int)sys0(SYS_getpid);

	begin(s);
	if (snapshot_refuse)
		return refused(s, snapshot_refuse);
	if (!s->prepared || !s->shared)
		snapshot_prepare(s);
	s->prepared = false;
	if (!s->shared)
		return refused(s, ENOMEM);
	s->shared->done = 0;
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(all));
	pid = sys6(SYS_clone, flags, 0, 0, 0, 0, 0);
	if (pid == 0)
		be_the_copy(s, self, fn, arg);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	if (sys_failed(pid))
		return refused(s, (int)-pid);
	s->pid = (int)pid;
	s->clone_ns = clock_mono_ns() - s->taken_ns;
	s->state = SNAPSHOT_RUNNING;
	return true;
}

void snapshot_in_place(struct snapshot *s, int (*fn)(void *arg), void *arg)
{
	int error = s->error;

	begin(s);
	s->error = error;
	s->result = fn(arg);
	s->cpu_ns = clock_mono_ns() - s->taken_ns;
	s->state = SNAPSHOT_DONE;
}

uint32_t *snapshot_futex(struct snapshot *s)
{
	return s->shared ? &s->shared->done : NULL;
}

/* What it has cost so far. */
static void measure(struct snapshot *s)
{
	/* The kernel's name for the CPU clock of another process. */
	int clock = (int)(~(unsigned)s->pid << 3 | 2);
	int64_t cpu_ns = clock_ns(clock);

	s->cpu_ns = MAX(s->cpu_ns, cpu_ns);
	/* An upper bound: first touches of new memory are faults, too. */
	s->copied = (page_faults() - s->faults) * OS_PAGE;
}

static bool over_budget(const struct snapshot *s)
{
	const struct snapshot_budget *b = &s->budget;

	return (b->cpu_ns && s->cpu_ns > b->cpu_ns) ||
		(b->copy_bytes && s->copied > b->copy_bytes) ||
		(b->wall_ns && clock_mono_ns() - s->taken_ns > b->wall_ns);
}

/* It has ended with this status, or been reaped by somebody else (-1). */
static void finish(struct snapshot *s, int status)
{
	s->pid = 0;
	/* acquire [done]: pairs with the release in the copy. */
	if (load_acquire(&s->shared->done)) {
		s->result = s->shared->result;
		s->state = SNAPSHOT_DONE;
		return;
	}
	s->state = SNAPSHOT_DIED;
	if (status != -1 && WIFSIGNALED(status))
		s->signal = WTERMSIG(status);
}

static int64_t timeval_ns(struct timeval t)
{
	return t.tv_sec * INT64_C(1000000000) + t.tv_usec * INT64_C(1000);
}

/*
 * Has it ended? flags: 0 waits for that. What it has cost in all is known only
 * now: it may have run from beginning to end since the last measure().
 */
static bool reap(struct snapshot *s, int flags)
{
	struct rusage u = {0};
	int status = -1;
	long r;

	do
		r = sys4(SYS_wait4, s->pid, &status, flags | __WALL, &u);
	while (r == -EINTR);
	if (r == 0)
		return false;
	s->cpu_ns = MAX(s->cpu_ns,
		timeval_ns(u.ru_utime) + timeval_ns(u.ru_stime));
	finish(s, sys_failed(r) ? -1 : status);
	return true;
}

void snapshot_kill(struct snapshot *s)
{
	if (s->state != SNAPSHOT_RUNNING)
		return;
	if (!reap(s, WNOHANG)) {
		sys2(SYS_kill, s->pid, SIGKILL);
		reap(s, 0);
	}
}

void snapshot_free(struct snapshot *s)
{
	snapshot_kill(s);
	if (s->shared)
		sysmem_unmap(s->shared, OS_PAGE, SYS_GC);
	s->shared = NULL;
}

static void sleep_until_done(struct snapshot *s, int64_t ns)
{
	struct timespec ts = {0, 0};

	if (load_relaxed(&s->shared->done)) {
		ts.tv_nsec = MIN(ns, (int64_t)REAP_NS);
		sys2(SYS_nanosleep, &ts, NULL);
	} else {
		ts.tv_nsec = MIN(ns, (int64_t)SLICE_NS);
		sys4(SYS_futex, &s->shared->done, FUTEX_WAIT, 0, &ts);
	}
}

enum snapshot_state snapshot_wait(struct snapshot *s, int64_t timeout_ns)
{
	int64_t until = clock_mono_ns() + timeout_ns, left;

	while (s->state == SNAPSHOT_RUNNING) {
		measure(s);
		if (reap(s, WNOHANG))
			break;
		if (over_budget(s)) {
			snapshot_kill(s);
			/* It may have been done at the last moment. */
			if (s->state == SNAPSHOT_DIED)
				s->state = SNAPSHOT_BUDGET;
			break;
		}
		left = until - clock_mono_ns();
		if (left <= 0)
			break;
		sleep_until_done(s, left);
	}
	return s->state;
}

void snapshot_postfork_child(struct snapshot *s)
{
	/* Its page is shared with the parent, whose it is. */
	if (s->shared)
		sysmem_unmap(s->shared, OS_PAGE, SYS_GC);
	s->shared = NULL;
	s->prepared = false;
	s->pid = 0;
	s->state = SNAPSHOT_NONE;
}
