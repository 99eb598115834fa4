/* SPDX-License-Identifier: MIT */
/* A copy that is frozen, and that nobody but us knows of. */
#include "gc/snapshot.h"
#include "base/atomics.h"
#include "gc/stw.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "os/sysmem.h"
#include "support/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static struct snapshot s;
static struct stw w;

/* What the copies of the tests report in. */
static struct report {
	uint32_t go; /* the test lets the copy go on */
	uint32_t here;
	uint64_t sum;
	long fd[8];
	long ppid, pgrp, nice, policy, ncpu, name_ok, oom, cwd_ok, blocked;
} *seen;

static void wait_here(void)
{
	store_relaxed(&seen->here, 1);
	while (!load_relaxed(&seen->go)) {
		struct timespec ts = {0, 1000000};

		sys2(SYS_nanosleep, &ts, NULL);
	}
}

static void wait_for_copy(void)
{
	while (!load_relaxed(&seen->here))
		usleep(500);
}

static bool take(int (*fn)(void *), void *arg)
{
	bool ok;

	if (!seen)
		seen = sysmem_map_shared(OS_PAGE, SYS_OTHER);
	memset(seen, 0, sizeof(*seen));
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	ok = snapshot_take(&s, fn, arg);
	stw_start(&w);
	return ok;
}

static enum snapshot_state wait_long(void)
{
	return snapshot_wait(&s, LONG);
}

/* -------- frozen -------- */

enum { WORDS = 1 << 20 };
static uint64_t words[WORDS];

static int sum_words(void *arg)
{
	wait_here();
	for (size_t i = 0; i < WORDS; i++)
		seen->sum += words[i];
	return *(int *)arg;
}

START_TEST(frozen)
{
	int arg = 42;

	for (size_t i = 0; i < WORDS; i++)
		words[i] = 1;
	ck_assert(take(sum_words, &arg));
	ck_assert_int_eq(s.state, SNAPSHOT_RUNNING);
	ck_assert_int_eq(snapshot_wait(&s, 0), SNAPSHOT_RUNNING);
	for (size_t i = 0; i < WORDS; i++)
		words[i] = 2;
	arg = 43;
	store_relaxed(&seen->go, 1);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, 42);
	ck_assert_uint_eq(seen->sum, WORDS);
	ck_assert_int_eq(s.pid, 0);
	ck_assert_uint_ge(s.copied, sizeof(words));
	ck_assert_int_gt(s.cpu_ns, 0);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	/* Again, in the same struct. */
	ck_assert(take(sum_words, &arg));
	store_relaxed(&seen->go, 1);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, 43);
	ck_assert_uint_eq(seen->sum, 2 * WORDS);
	snapshot_free(&s);
	ck_assert_uint_eq(sysmem_sys(SYS_OTHER), OS_PAGE);
}
END_TEST

/* -------- unseen -------- */

static int nothing(void *arg UNUSED)
{
	return 7;
}

static int linger(void *arg UNUSED)
{
	wait_here();
	return 0;
}

static volatile sig_atomic_t children;

static void on_child(int signo UNUSED)
{
	children++;
}

START_TEST(no_child_of_the_programs)
{
	siginfo_t info;

	signal(SIGCHLD, on_child);
	ck_assert(take(linger, NULL));
	wait_for_copy();
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(wait(NULL), -1);
	ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED), -1);
	ck_assert_int_eq(errno, ECHILD);
	store_relaxed(&seen->go, 1);
	usleep(50000);
	/* Ended, not reaped: still nothing to be seen. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	errno = 77;
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	ck_assert_int_eq(errno, 77);
	ck_assert_int_eq(children, 0);
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* A peer sees the end of the file while the copy lives. */
START_TEST(no_descriptors)
{
	int fd[2], lock, status;
	char c;
	char path[] = "/tmp/gostat-lockXXXXXX";
	struct flock l = {.l_type = F_WRLCK};
	pid_t pid;

	lock = mkstemp(path);
	unlink(path);
	ck_assert_int_eq(fcntl(lock, F_SETLK, &l), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	ck_assert(take(linger, NULL));
	wait_for_copy();
	close(fd[1]);
	ck_assert_int_eq(read(fd[0], &c, 1), 0);
	/* The record lock is as it was: ours, and others can't have it. */
	pid = fork();
	if (!pid)
		_exit(fcntl(lock, F_SETLK, &l) == 0);
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	store_relaxed(&seen->go, 1);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	pid = fork();
	if (!pid)
		_exit(fcntl(lock, F_SETLK, &l) == 0);
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

static int look_around(void *arg UNUSED)
{
	char buf[64] = "";
	uint64_t mask;
	cpu_set_t set;
	long fd;

	for (int i = 0; i < 8; i++)
		seen->fd[i] = sys3(SYS_fcntl, i, F_GETFD, 0);
	seen->ppid = sys0(SYS_getppid);
	seen->pgrp = sys1(SYS_getpgid, 0);
	seen->nice = 20 - sys2(SYS_getpriority, PRIO_PROCESS, 0);
	seen->policy = sys1(SYS_sched_getscheduler, 0);
	memset(&set, 0, sizeof(set));
	sys3(SYS_sched_getaffinity, 0, sizeof(set), &set);
	seen->ncpu = CPU_COUNT(&set);
	sys2(SYS_prctl, PR_GET_NAME, buf);
	seen->name_ok = !strcmp(buf, "gostat-mark");
	sys2(SYS_getcwd, buf, sizeof(buf));
	seen->cwd_ok = !strcmp(buf, "/");
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	seen->blocked = (long)mask;
	fd = sys2(SYS_open, "/proc/self/oom_score_adj", O_RDONLY);
	memset(buf, 0, sizeof(buf));
	sys3(SYS_read, fd, buf, sizeof(buf) - 1);
	seen->oom = !strcmp(buf, "1000\n");
	return (int)sys0(SYS_getpid);
}

START_TEST(manners)
{
	int pid, nice = getpriority(PRIO_PROCESS, 0);
	cpu_set_t all, one;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
	ck_assert(take(look_around, NULL));
	pid = s.pid;
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, pid);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(seen->fd[i], -EBADF);
	ck_assert_int_eq(seen->ppid, getpid());
	ck_assert_int_eq(seen->pgrp, pid);
	ck_assert_int_ge(seen->nice, MAX(nice, 10));
	ck_assert_int_eq(seen->policy, SCHED_BATCH);
	ck_assert_int_eq(seen->ncpu, CPU_COUNT(&all));
	ck_assert(seen->name_ok && seen->cwd_ok && seen->oom);
	ck_assert(seen->blocked & 1L << (SIGINT - 1));
	/* And here nothing has changed. */
	ck_assert_int_eq(fcntl(0, F_GETFD) == -1, 0);
	ck_assert_int_eq(getpriority(PRIO_PROCESS, 0), nice);
}
END_TEST

/* -------- ends -------- */

static int crash(void *arg)
{
	return *(volatile int *)arg;
}

static volatile sig_atomic_t faults;

static void on_fault(int signo UNUSED)
{
	faults++;
	_exit(99);
}

START_TEST(dies)
{
	signal(SIGSEGV, on_fault);
	ck_assert(take(crash, NULL));
	ck_assert_int_eq(wait_long(), SNAPSHOT_DIED);
	ck_assert_int_eq(s.signal, SIGSEGV);
	ck_assert_int_eq(faults, 0);
	ck_assert(take(linger, NULL));
	kill(s.pid, SIGKILL);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DIED);
	ck_assert_int_eq(s.signal, SIGKILL);
	ck_assert(take(linger, NULL));
	snapshot_kill(&s);
	ck_assert_int_eq(s.state, SNAPSHOT_DIED);
	snapshot_kill(&s);
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
}
END_TEST

/* A program that takes any child it can get. */
START_TEST(reaped_by_others)
{
	ck_assert(take(nothing, NULL));
	ck_assert_int_gt(waitpid(-1, NULL, __WALL), 0);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, 7);
	ck_assert(take(crash, NULL));
	ck_assert_int_gt(waitpid(-1, NULL, __WALL), 0);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DIED);
}
END_TEST

static int burn(void *arg UNUSED)
{
	while (!load_relaxed(&seen->go))
		cpu_relax();
	return 0;
}

static int burn_a_little(void *arg)
{
	(void)arg;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < SECOND / 100)
		cpu_relax();
	return 7;
}

/* Nobody has looked before it was gone: its cost is known all the same. */
START_TEST(cost)
{
	ck_assert(take(burn_a_little, NULL));
	while (!load_relaxed(snapshot_futex(&s)))
		usleep(1000);
	usleep(1000);
	snapshot_kill(&s);
	ck_assert_int_eq(s.state, SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, 7);
	ck_assert_int_ge(s.cpu_ns, SECOND / 101);
}
END_TEST

START_TEST(budgets)
{
	s.budget = (struct snapshot_budget){.cpu_ns = SECOND / 20};
	ck_assert(take(burn, NULL));
	ck_assert_int_eq(wait_long(), SNAPSHOT_BUDGET);
	ck_assert_int_ge(s.cpu_ns, SECOND / 20);
	s.budget = (struct snapshot_budget){.wall_ns = SECOND / 20};
	ck_assert(take(linger, NULL));
	ck_assert_int_eq(wait_long(), SNAPSHOT_BUDGET);
	s.budget = (struct snapshot_budget){.copy_bytes = sizeof(words) / 2};
	for (size_t i = 0; i < WORDS; i++)
		words[i] = 1;
	ck_assert(take(linger, NULL));
	ck_assert_int_eq(snapshot_wait(&s, 0), SNAPSHOT_RUNNING);
	for (size_t i = 0; i < WORDS; i++)
		words[i] = 2;
	ck_assert_int_eq(wait_long(), SNAPSHOT_BUDGET);
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
}
END_TEST

/* The program dies: so does the copy. */
START_TEST(orphan)
{
	int fd[2], status;
	pid_t copy = 0, pid;

	ck_assert_int_eq(pipe(fd), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (!pid) {
		take(linger, NULL);
		status = (int)write(fd[1], &s.pid, sizeof(s.pid));
		pause();
	}
	ck_assert_int_eq(read(fd[0], &copy, sizeof(copy)), sizeof(copy));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	/* As a subreaper we inherit it. */
	ck_assert_int_eq(waitpid(copy, &status, __WALL), copy);
	/* Killed with it, or, where it had not asked for that yet, ended. */
	ck_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
				      : WIFEXITED(status));
}
END_TEST

/* -------- refusals -------- */

START_TEST(refused)
{
	struct rlimit none = {1, 1};
	int error;

	ck_assert(snapshot_allowed());
	snapshot_refuse = EAGAIN;
	ck_assert(!take(nothing, NULL));
	ck_assert_int_eq(s.error, EAGAIN);
	ck_assert_int_eq(s.state, SNAPSHOT_NONE);
	ck_assert_int_eq(wait_long(), SNAPSHOT_NONE);
	snapshot_in_place(&s, nothing, NULL);
	ck_assert_int_eq(s.state, SNAPSHOT_DONE);
	ck_assert_int_eq(s.result, 7);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
	snapshot_refuse = 0;

	/* The kernel's own refusal; root may go past this limit. */
	if (geteuid() == 0)
		ck_assert_int_eq(setuid(65534), 0);
	setrlimit(RLIMIT_NPROC, &none);
	error = take(nothing, NULL) ? 0 : s.error;
	ck_assert(error == EAGAIN || error == 0);
	if (!error)
		ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);

	sandboxed = SANDBOX_FILTER;
	ck_assert(!snapshot_allowed());
	ck_assert_int_eq(stw_stop(&w, 0), STW_NO_SIGNAL);
	sandboxed = SANDBOX_NONE;
	snapshot_free(&s);
	sysmem_fail_after = 0;
	ck_assert(!take(nothing, NULL));
	ck_assert_int_eq(s.error, ENOMEM);
}
END_TEST

/* unshare(CLONE_NEWPID): the first child is init, and must be the program's. */
START_TEST(namespaces)
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		return; /* not allowed here */
	ck_assert(!snapshot_allowed());
	pid = fork();
	if (!pid)
		_exit(getpid() == 1 ? 5 : 6);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 5);
}
END_TEST

static bool forgotten(void *arg UNUSED)
{
	snapshot_postfork_child(&s);
	snapshot_kill(&s);
	return s.pid == 0 && snapshot_wait(&s, SECOND) == SNAPSHOT_NONE;
}

START_TEST(fork_meanwhile)
{
	ck_assert(take(linger, NULL));
	in_child(forgotten, NULL);
	ck_assert_int_eq(snapshot_wait(&s, 0), SNAPSHOT_RUNNING);
	store_relaxed(&seen->go, 1);
	ck_assert_int_eq(wait_long(), SNAPSHOT_DONE);
}
END_TEST

/* Threads go on as soon as the world is started, each from where it was. */
static uint64_t turns[4];
static uint32_t quit;

static void *spin(void *arg)
{
	while (!load_relaxed(&quit))
		add_relaxed((uint64_t *)arg, 1);
	return NULL;
}

static int threads_rest(void *arg UNUSED)
{
	uint64_t before = turns[0] + turns[1] + turns[2] + turns[3];

	wait_here();
	return before == turns[0] + turns[1] + turns[2] + turns[3];
}

START_TEST(with_threads)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, spin, &turns[i]);
	for (int i = 0; i < 20; i++) {
		uint64_t before;

		MUST(take(threads_rest, NULL));
		before = load_relaxed(&turns[0]);
		while (load_relaxed(&turns[0]) == before)
			usleep(100);
		store_relaxed(&seen->go, 1);
		MUST_EQ(wait_long(), SNAPSHOT_DONE);
		MUST_EQ(s.result, 1);
	}
	store_relaxed(&quit, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}
END_TEST

#define ADD(test) tcase_add_test(new_case(suite, #test), test)

int main(void)
{
	Suite *suite = suite_create("snapshot");

	ADD(frozen);
	ADD(no_child_of_the_programs);
	ADD(no_descriptors);
	ADD(manners);
	ADD(dies);
	ADD(reaped_by_others);
	ADD(cost);
	ADD(budgets);
	ADD(orphan);
	ADD(refused);
	ADD(namespaces);
	ADD(fork_meanwhile);
	ADD(with_threads);
	return run_suite(suite);
}
