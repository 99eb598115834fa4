/* SPDX-License-Identifier: MIT */
/* Threads that do all kinds of things are at rest, and found. */
#include "gc/stw.h"
#include "gc/stw_ways.h"
#include "os/syscall.h"
#include "os/tasks.h"
#include "support/random.h"
#include "support/stopworld.h"

#include <signal.h>

static uint32_t quit;

/* Spin with a word in one register and nowhere else. */
struct spinner {
	uint64_t word;
	unsigned where;
	bool mask, raw_mask;
	int tid;
	uint64_t turns; /* goes up while it runs */
};

enum {
	IN_RBX, IN_R11, IN_R15, IN_RBP, IN_XMM0, IN_XMM15, IN_YMM5, IN_STACK,
	NWHERE
};

/*
 * Make the word from its complement, which is what memory has, put it where set
 * says, and count up until quit. rdi: turns, rsi: complement, rdx: &quit.
 */
#define SPIN(set)                                                              \
	__asm__ volatile("pushq %%rbp\n\tpushq %%rbx\n\t"                      \
			 "movq %1, %%rax\n\tnotq %%rax\n\t" set "\n\t"         \
			 "xorl %%eax, %%eax\n"                                 \
			 "1:\tincq (%0)\n\tcmpl $0, (%2)\n\tje 1b\n\t"          \
			 "popq %%rbx\n\tpopq %%rbp"                            \
			 :                                                     \
			 : "D"(&s->turns), "S"(~s->word), "d"(&quit)           \
			 : "rax", "r11", "r15", "xmm0", "xmm5", "xmm15",       \
			 "memory", "cc")

static void *spin(void *arg)
{
	struct spinner *s = arg;
	sigset_t all;
	uint64_t raw = ~UINT64_C(0);

	sigfillset(&all);
	if (s->mask)
		pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (s->raw_mask)
		sys4(SYS_rt_sigprocmask, SIG_SETMASK, &raw, NULL, 8);
	s->tid = gettid();
	s->word = ~s->word; /* the complement stays in memory */
	sem_post(&up);
	s->word = ~s->word;
	switch (s->where) {
	case IN_RBX:
		SPIN("movq %%rax, %%rbx");
		break;
	case IN_R11:
		SPIN("movq %%rax, %%r11");
		break;
	case IN_R15:
		SPIN("movq %%rax, %%r15");
		break;
	case IN_RBP:
		SPIN("movq %%rax, %%rbp");
		break;
	case IN_XMM0:
		SPIN("movq %%rax, %%xmm0");
		break;
	case IN_XMM15:
		SPIN("movq %%rax, %%xmm15");
		break;
	case IN_YMM5: /* the upper half alone */
		if (__builtin_cpu_supports("avx"))
			SPIN("movq %%rax, %%xmm5\n\t"
			     "vinsertf128 $1, %%xmm5, %%ymm5, %%ymm5\n\t"
			     "pxor %%xmm5, %%xmm5");
		else
			SPIN("movq %%rax, %%xmm5");
		break;
	case IN_STACK: /* in the red zone */
		SPIN("movq %%rax, -104(%%rsp)");
		break;
	}
	return NULL;
}

START_TEST(registers)
{
	static struct spinner s[NWHERE];
	pthread_t t[NWHERE];

	for (unsigned i = 0; i < NWHERE; i++) {
		s[i] = (struct spinner){.word = MAGIC + i, .where = i,
			.mask = i % 2};
		start_thread(spin, &s[i], &t[i]);
		sem_wait(&up);
		while (!load_relaxed(&s[i].turns))
			usleep(100); /* the word is in its place then */
	}
	for (int round = 0; round < 20; round++) {
		uint64_t turns[NWHERE];

		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.n, NWHERE);
		MUST_EQ(w.nrunning, 0);
		for (unsigned i = 0; i < NWHERE; i++)
			turns[i] = load_relaxed(&s[i].turns);
		usleep(1000);
		for (unsigned i = 0; i < NWHERE; i++) {
			const struct stw_thread *e = entry_of(s[i].tid);

			MUST_EQ(load_relaxed(&s[i].turns), turns[i]);
			if (!holds(e, MAGIC + i, 16 << 10))
				ck_abort_msg("%u: %u not there", i, e->how);
			MUST_EQ(e->tcb, (uintptr_t)t[i]);
		}
		stw_start(&w);
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < NWHERE; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* The caller's own registers are in w. */
START_TEST(own_registers)
{
	uint64_t seen = 0;

	/* The call must not touch this frame's red zone. */
	__asm__ volatile("movq %1, %%r12\n\tnotq %%r12\n\t"
			 "leaq %2, %%rdi\n\tmovq %3, %%rsi\n\t"
			 "movq %%rsp, %%r13\n\t"
			 "subq $128, %%rsp\n\tandq $-16, %%rsp\n\t"
			 "call stw_stop\n\t"
			 "movq %%r13, %%rsp\n\tmovl %%eax, %k0"
			 : "=&b"(seen)
			 : "r"(~MAGIC), "m"(w), "r"(LONG)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
			 "r11", "r12", "r13", "memory");
	ck_assert_uint_eq(seen, STW_OK);
	ck_assert_uint_eq(w.self_regs[2], MAGIC);
	ck_assert_uint_lt(w.self_sp, (uintptr_t)&seen);
	ck_assert_uint_gt(w.self_sp, (uintptr_t)&seen - 1024);
	ck_assert_uint_eq(w.self_tcb, (uintptr_t)pthread_self());
	ck_assert_int_eq(w.self_tid, gettid());
	stw_start(&w);
}
END_TEST

/* Signal 33 masked by a raw call: ptrace, or the admission that it runs. */
static void masked(unsigned without, unsigned traced, unsigned running)
{
	static struct spinner s[3];
	pthread_t t[3];

	stw_without = without;
	for (unsigned i = 0; i < NELEM(s); i++) {
		s[i] = (struct spinner){.word = MAGIC + i,
			.where = i == 0 ? IN_R15 : i == 1 ? IN_XMM15 : IN_RBX,
			.raw_mask = i != 2};
		start_thread(spin, &s[i], &t[i]);
		sem_wait(&up);
		while (!load_relaxed(&s[i].turns))
			usleep(100); /* the word is in its place then */
	}
	for (int round = 0; round < 5; round++) {
		uint64_t turns[NELEM(s)];

		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		/*
		 * The third may be found in the kernel, or on its way out of
		 * our handler from the last time: it may be anything.
		 */
		MUST_EQ(w.nsignal + w.ntraced + w.nrunning + w.nblocked,
			NELEM(s));
		MUST(w.ntraced >= traced);
		MUST(w.nrunning >= running);
		for (unsigned i = 0; i < NELEM(s); i++)
			turns[i] = load_relaxed(&s[i].turns);
		usleep(1000);
		for (unsigned i = 0; i < NELEM(s); i++) {
			const struct stw_thread *e = entry_of(s[i].tid);

			MUST_EQ(e->tcb, (uintptr_t)t[i]);
			if (e->how == STW_RUNNING) {
				MUST_EQ(e->sp, 0);
				continue;
			}
			MUST_EQ(load_relaxed(&s[i].turns), turns[i]);
			MUST(e->how == STW_BLOCKED ||
				holds(e, MAGIC + i, 16 << 10));
		}
		stw_start(&w);
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < NELEM(s); i++)
		pthread_join(t[i], NULL);
	/* The tracer is gone, and no child of ours. */
	ck_assert_int_eq(waitpid(-1, NULL, __WALL), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static bool may_trace(void)
{
	uint64_t raw = ~UINT64_C(0), old;
	int status;
	pid_t pid;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &raw, &old, 8);
	pid = fork();
	if (!pid)
		_exit(sys4(SYS_ptrace, 0x4206, getppid(), 0, 0) != 0);
	waitpid(pid, &status, 0);
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
	return status == 0;
}

START_TEST(traced)
{
	if (may_trace())
		masked(0, 2, 0);
}
END_TEST

START_TEST(running)
{
	masked(STW_NO_PTRACE, 0, 2);
}
END_TEST

/* The parent of a vfork is deaf until its child is gone. */
static void *vforks(void *arg)
{
	pid_t pid;

	*(int *)arg = gettid();
	sem_post(&up);
	pid = vfork();
	if (!pid) {
		struct timespec ts = {0, 300000000};

		sys2(SYS_nanosleep, &ts, NULL);
		sys1(SYS_exit_group, 0);
	}
	waitpid(pid, NULL, 0);
	return NULL;
}

START_TEST(deaf)
{
	pthread_t t;
	int tid;
	const struct stw_thread *e;

	start_thread(vforks, &tid, &t);
	sem_wait(&up);
	usleep(50000);
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	e = entry_of(tid);
	/* On a very slow machine it is awake again. */
	ck_assert(e->how == STW_BLOCKED || e->how == STW_SIGNAL);
	ck_assert_uint_eq(e->tcb, (uintptr_t)t);
	ck_assert_uint_lt(e->sp, e->tcb);
	ck_assert_uint_gt(e->sp, e->tcb - (64 << 10));
	stw_start(&w);
	pthread_join(t, NULL);
}
END_TEST

/* The first thread has ended, the process goes on. */
static void *after_main(void *arg UNUSED)
{
	await_state(getpid(), 'Z');
	for (int i = 0; i < 3; i++) {
		const struct stw_thread *e;

		if (stw_stop(&w, LONG) != STW_OK || w.nsignal || w.nparked)
			_exit(1);
		/* Known after the first time, and no longer asked. */
		e = entry_of(getpid());
		if (e->how != STW_GONE || (i && e->word == stw_word))
			_exit(2);
		stw_start(&w);
	}
	_exit(0);
}

START_TEST(leader_is_gone)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		start_thread(after_main, NULL, NULL);
		pthread_exit(NULL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* Several stop at a time; signals and errno are as before. */
static pthread_barrier_t all_up;

static void *stops(void *arg UNUSED)
{
	struct stw mine;
	sigset_t before, after;

	pthread_barrier_wait(&all_up);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	for (int i = 0; i < 100; i++) {
		errno = 77;
		MUST_EQ(stw_stop(&mine, LONG), STW_OK);
		MUST_EQ(mine.n, 4);
		stw_start(&mine);
		MUST_EQ(errno, 77);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	MUST_EQ(memcmp(&before, &after, sizeof(before)), 0);
	pthread_barrier_wait(&all_up); /* nobody leaves before */
	return NULL;
}

START_TEST(several_stoppers)
{
	pthread_t t[4];

	pthread_barrier_init(&all_up, NULL, 4);
	for (int i = 0; i < 4; i++)
		start_thread(stops, NULL, &t[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* Without /proc there is no telling who is there. */
START_TEST(no_proc)
{
	tasks_quiet();
	ck_assert_int_eq(stw_stop(&w, LONG), STW_NO_THREADS);
	ck_assert_uint_eq(stw_word & STW_STOPPING, 0);
	ck_assert_str_ne(stw_why(STW_NO_THREADS), stw_why(STW_OK));
}
END_TEST

/* A thread that holds a lock of ours for long: late, and nothing happened. */
static struct lock held = LOCK_INIT(LOCK_FDS);

static void *holder(void *arg UNUSED)
{
	lock(&held);
	sem_post(&up);
	while (!load_relaxed(&quit))
		usleep(100);
	unlock(&held);
	return NULL;
}

START_TEST(too_late)
{
	pthread_t t;

	start_thread(holder, NULL, &t);
	sem_wait(&up);
	ck_assert_int_eq(stw_stop(&w, 2000000), STW_LATE);
	ck_assert_uint_eq(stw_word & STW_STOPPING, 0);
	store_relaxed(&quit, 1);
	pthread_join(t, NULL);
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	stw_start(&w);
}
END_TEST

/* Waiting for a lock of ours is no reason to be late. */
static void *waiter(void *arg UNUSED)
{
	sem_post(&up);
	lock(&held);
	unlock(&held);
	return NULL;
}

START_TEST(waiting_for_a_lock)
{
	pthread_t t[2];

	lock(&held);
	for (int i = 0; i < 2; i++) {
		start_thread(waiter, NULL, &t[i]);
		sem_wait(&up);
	}
	usleep(20000);
	unlock(&held);
	/* held once more, by the stopper this time */
	held.state = 2;
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	stw_start(&w);
	lock_wake(&held);
	held.state = 0;
	lock_wake(&held);
	lock_wake(&held);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* A case for each, so that CK_RUN_CASE can pick one. */
#define ADD(test) tcase_add_test(new_case(s, #test), test)

int main(void)
{
	Suite *s = suite_create("stw");

	seed_init();
	sem_init(&up, 0, 0);
	ADD(registers);
	ADD(own_registers);
	ADD(traced);
	ADD(running);
	ADD(deaf);
	ADD(leader_is_gone);
	ADD(several_stoppers);
	ADD(no_proc);
	ADD(too_late);
	ADD(waiting_for_a_lock);
	return run_suite(s);
}
