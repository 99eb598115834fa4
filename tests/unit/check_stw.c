/* SPDX-License-Identifier: MIT */
/* Threads that do all kinds of things are at rest, and found. */
#include "gc/stw.h"
#include "alloc/heap.h"
#include "base/atomics.h"
#include "gc/park.h"
#include "gc/stw_ways.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "os/tasks.h"
#include "support/random.h"
#include "support/run.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A busy machine must not fail a test: nobody has to be there in 200 ms. */
#define LONG INT64_C(20000000000)
#define MAGIC UINT64_C(0x5a5ac0dedead0000)

static struct stw w;
static sem_t up;
static uint32_t quit;

static void start_thread(void *(*fn)(void *), void *arg, pthread_t *t)
{
	pthread_t unused;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	MUST_EQ(pthread_create(t ? t : &unused, &attr, fn, arg), 0);
	pthread_attr_destroy(&attr);
}

static const struct stw_thread *entry_of(int tid)
{
	for (unsigned i = 0; i < w.n; i++)
		if (stw_thread(&w, i)->tid == tid)
			return stw_thread(&w, i);
	return NULL;
}

/*
 * Is word among what t has in use, at most n bytes up its stack? Libc has its
 * descriptor at the end of it.
 */
/* Other threads' frames are not ours to read, in a sanitizer's eyes. */
__attribute__((no_sanitize("address", "thread")))
static bool holds(const struct stw_thread *t, uint64_t word, size_t n)
{
	const uintptr_t *p = (const uintptr_t *)ALIGN_UP(t->sp, (uintptr_t)8);

	n = MIN(n, t->tcb - t->sp);
	for (size_t i = 0; t->sp && i < n / 8; i++)
		if (p[i] == word)
			return true;
	for (size_t i = 0; i < t->nregs; i++)
		if (t->regs[i] == word)
			return true;
	return false;
}

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
		/* One that left our handler late may be traced too. */
		MUST_EQ(w.nsignal + w.ntraced + w.nrunning, NELEM(s));
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
			MUST(holds(e, MAGIC + i, 16 << 10));
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

/* A wrapper as preload/ has them. */
static int parked_poll(struct pollfd *fds, int timeout)
{
	struct park *p = PARK_ENTER(fds);
	int r = poll(fds, fds ? 1 : 0, timeout);

	park_leave(p);
	return r;
}

struct sleeper {
	int tid, result, error;
	uint64_t word;
	struct pollfd *fds;
};

/* word only in a callee-saved register, across the call. */
static int poll_with_register(struct pollfd *fds, uint64_t not_word)
{
	int r;

	__asm__ volatile("movq %2, %%rbx\n\tnotq %%rbx\n\t"
			 "movq $-1, %%rsi\n\tmovq %%rsp, %%r12\n\t"
			 "subq $128, %%rsp\n\tandq $-16, %%rsp\n\t"
			 "call *%3\n\t"
			 "movq %%r12, %%rsp"
			 : "=a"(r), "+D"(fds)
			 : "r"(not_word), "r"(parked_poll)
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11",
			 "r12", "memory", "cc");
	return r;
}

static int pipes[2];

static void *sleep_parked(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	sem_post(&up);
	errno = 77;
	s->result = poll_with_register(s->fds, ~s->word);
	s->error = errno;
	return NULL;
}

static unsigned count_parked(void)
{
	unsigned n = 0;

	for (struct park *p = NULL; (p = park_next(p));)
		n += load_relaxed(&p->sp) != 0;
	return n;
}

static void start_sleepers(struct sleeper *s, pthread_t *t, unsigned n)
{
	MUST_EQ(pipe(pipes), 0);
	for (unsigned i = 0; i < n; i++) {
		s[i] = (struct sleeper){.word = MAGIC + i,
			.fds = calloc(1, sizeof(*s->fds))};
		s[i].fds->fd = pipes[0];
		s[i].fds->events = POLLIN;
		start_thread(sleep_parked, &s[i], &t[i]);
		sem_wait(&up);
	}
	while (count_parked() < n)
		usleep(1000);
}

static void end_sleepers(struct sleeper *s, pthread_t *t, unsigned n)
{
	MUST_EQ(write(pipes[1], "x", 1), 1);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		MUST_EQ(s[i].result, 1);
		MUST_EQ(s[i].error, 77);
		free(s[i].fds);
	}
	close(pipes[0]);
	close(pipes[1]);
}

START_TEST(parked)
{
	static struct sleeper s[20];
	pthread_t t[20];

	park_enable();
	start_sleepers(s, t, NELEM(s));
	for (int round = 0; round < 50; round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.nparked, NELEM(s));
		for (unsigned i = 0; i < NELEM(s); i++) {
			const struct stw_thread *e = entry_of(s[i].tid);

			MUST_EQ(e->how, STW_PARKED);
			MUST_EQ(e->tcb, (uintptr_t)t[i]);
			MUST(holds(e, s[i].word, 512));
			MUST(holds(e, (uintptr_t)s[i].fds, 512));
		}
		stw_start(&w);
	}
	/* Those that come out meanwhile wait. */
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	MUST_EQ(write(pipes[1], "x", 1), 1);
	usleep(20000);
	for (unsigned i = 0; i < NELEM(s); i++)
		MUST_EQ(s[i].error, 0);
	stw_start(&w);
	end_sleepers(s, t, NELEM(s));
}
END_TEST

/* Without membarrier the first stop interrupts everybody, later ones don't. */
START_TEST(fences)
{
	static struct sleeper s[4];
	pthread_t t[4];

	park_enable();
	stw_without = STW_NO_MEMBARRIER;
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	stw_start(&w);
	start_sleepers(s, t, NELEM(s));
	for (int round = 0; round < 50; round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.nparked, NELEM(s));
		stw_start(&w);
	}
	end_sleepers(s, t, NELEM(s));
}
END_TEST

START_TEST(unbelieved)
{
	static struct sleeper s[4];
	pthread_t t[4];

	park_enable();
	start_sleepers(s, t, NELEM(s));
	stw_without = STW_NO_PARK;
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	MUST_EQ(w.nsignal, NELEM(s));
	stw_start(&w);
	for (unsigned i = 0; i < NELEM(s); i++) {
		pthread_join(t[i], NULL);
		MUST_EQ(s[i].result, -1);
		MUST_EQ(s[i].error, EINTR);
	}
}
END_TEST

/* Cancelled, jumped out of, interrupted: the record is not left behind. */
static sigjmp_buf jump;
static uintptr_t sp_in_handler;

static void on_usr1(int signo UNUSED)
{
	/* What preload/ puts in front of handlers. */
	uintptr_t sp = park_interrupt();

	sp_in_handler = park_self->sp;
	if (!sp)
		_exit(9);
	siglongjmp(jump, 1);
}

static void look_at_record(void *arg)
{
	*(uintptr_t *)arg = park_self->sp;
}

static void *cancelled(void *arg)
{
	pthread_cleanup_push(look_at_record, arg);
	sem_post(&up);
	parked_poll(NULL, -1);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *jumped(void *arg)
{
	uintptr_t *sp = arg;

	if (!sigsetjmp(jump, 1)) {
		sem_post(&up);
		parked_poll(NULL, -1);
	}
	*sp = park_self->sp;
	return NULL;
}

START_TEST(frames_that_vanish)
{
	uintptr_t sp = 1;
	pthread_t t;
	void *result;

	park_enable();
	start_thread(cancelled, &sp, &t);
	sem_wait(&up);
	usleep(10000);
	pthread_cancel(t);
	pthread_join(t, &result);
	ck_assert_ptr_eq(result, PTHREAD_CANCELED);
	ck_assert_uint_eq(sp, 0);

	signal(SIGUSR1, on_usr1);
	sp = sp_in_handler = 1;
	start_thread(jumped, &sp, &t);
	sem_wait(&up);
	usleep(10000);
	pthread_kill(t, SIGUSR1);
	pthread_join(t, NULL);
	ck_assert_uint_eq(sp_in_handler, 0);
	ck_assert_uint_eq(sp, 0);
}
END_TEST

/*
 * Who enters a call while the world is being stopped waits in front of it: the
 * signal never finds it inside.
 */
static int parked_nap(void)
{
	const struct timespec t = {0, 1};
	uintptr_t nothing = 0;
	struct park *p = PARK_ENTER(nothing);
	int r = ppoll(NULL, 0, &t, NULL);

	park_leave(p);
	return r;
}

static void *enters(void *arg)
{
	size_t *calls = arg;

	prctl(PR_SET_TIMERSLACK, 1);
	sem_post(&up);
	while (!load_relaxed(&quit)) {
		MUST_EQ(parked_nap(), 0);
		++*calls;
		for (size_t i = 0; i < *calls % 1024; i++)
			cpu_relax();
	}
	return NULL;
}

START_TEST(entering)
{
	static size_t calls[3];
	pthread_t t[NELEM(calls)];

	park_enable();
	for (unsigned i = 0; i < NELEM(t); i++) {
		start_thread(enters, &calls[i], &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(1000); round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(rng_below(&(struct rng){round}, 100));
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < NELEM(t); i++) {
		pthread_join(t[i], NULL);
		ck_assert_uint_gt(calls[i], 0);
	}
}
END_TEST

/* A handler that interrupts a parked call waits, on whichever stack. */
static uint32_t handler_ran;

static void on_usr2(int signo UNUSED)
{
	uintptr_t sp = park_interrupt();

	store_relaxed(&handler_ran, 1);
	park_resume(sp);
}

static void *interrupted(void *on_stack)
{
	static char stack[64 << 10];
	struct pollfd none = {.fd = -1};
	struct sigaction sa = {.sa_handler = on_usr2,
		.sa_flags = on_stack ? SA_ONSTACK : 0};
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};

	if (on_stack) {
		sigaltstack(&alt, NULL);
		park_altstack((uintptr_t)stack,
			(uintptr_t)stack + sizeof(stack));
	}
	sigaction(SIGUSR2, &sa, NULL);
	sem_post(&up);
	MUST_EQ(parked_poll(&none, -1), -1);
	MUST_EQ(errno, EINTR);
	MUST_EQ(park_self->sp, 0);
	return NULL;
}

START_TEST(handler_waits)
{
	park_enable();
	for (uintptr_t on_stack = 0; on_stack < 2; on_stack++) {
		const struct stw_thread *e;
		pthread_t t;

		handler_ran = 0;
		start_thread(interrupted, (void *)on_stack, &t);
		sem_wait(&up);
		while (count_parked() < 1)
			usleep(1000);
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.nparked, 1);
		e = stw_thread(&w, 0);
		MUST_EQ(e->alt_lo != 0, on_stack);
		pthread_kill(t, SIGUSR2);
		usleep(20000);
		MUST_EQ(load_relaxed(&handler_ran), 0);
		stw_start(&w);
		pthread_join(t, NULL);
		MUST_EQ(handler_ran, 1);
	}
}
END_TEST

/* As the parent of a vfork: parked with registers, whatever the child calls. */
static void *lends(void *arg UNUSED)
{
	uintptr_t regs[PARK_NREGS + 1] = {MAGIC, 1, 2, 3, 4, MAGIC + 1,
		(uintptr_t)__builtin_frame_address(0)};
	struct park *p = park_lend(regs);

	sem_post(&up);
	while (!load_relaxed(&quit))
		parked_poll(NULL, 0);
	MUST(park_self != p && p->sp != 0);
	park_return(p);
	MUST(park_self == p && p->sp == 0);
	return NULL;
}

START_TEST(lent)
{
	const struct stw_thread *e;
	pthread_t t;

	park_enable();
	start_thread(lends, NULL, &t);
	sem_wait(&up);
	MUST_EQ(stw_stop(&w, LONG), STW_OK);
	e = stw_thread(&w, 0);
	MUST_EQ(e->how, STW_PARKED);
	MUST_EQ(e->nregs, PARK_NREGS);
	MUST_EQ(e->regs[0], MAGIC);
	MUST_EQ(e->regs[PARK_NREGS - 1], MAGIC + 1);
	stw_start(&w);
	store_relaxed(&quit, 1);
	pthread_join(t, NULL);
}
END_TEST

/* Cancelled while the world is stopped: the cleanup waits. */
static uint32_t cleaned;

static void note_cleaned(void *arg UNUSED)
{
	store_relaxed(&cleaned, 1);
}

static void *cancelled_late(void *arg UNUSED)
{
	pthread_cleanup_push(note_cleaned, NULL);
	sem_post(&up);
	parked_poll(NULL, -1);
	pthread_cleanup_pop(0);
	return NULL;
}

START_TEST(cancelled_at_rest)
{
	pthread_t t, loads_libgcc;

	park_enable();
	start_thread(cancelled_late, NULL, &loads_libgcc);
	sem_wait(&up);
	pthread_cancel(loads_libgcc);
	pthread_join(loads_libgcc, NULL);
	for (int i = 0; i < 20; i++) {
		cleaned = 0;
		start_thread(cancelled_late, NULL, &t);
		sem_wait(&up);
		usleep(2000);
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		if (w.nparked == 1) {
			pthread_cancel(t);
			usleep(2000);
			MUST_EQ(load_relaxed(&cleaned), 0);
		}
		stw_start(&w);
		pthread_cancel(t);
		pthread_join(t, NULL);
		MUST_EQ(cleaned, 1);
	}
}
END_TEST

/* Threads in the allocator: the heap is whole in every stop. */
static void *allocate(void *arg)
{
	struct rng r = rng_init((uintptr_t)arg);
	void *p[64] = {NULL};

	sem_post(&up);
	while (!load_relaxed(&quit)) {
		size_t k = rng_below(&r, NELEM(p));

		heap_free(p[k]);
		p[k] = heap_malloc(rng_log(&r, 4 << 20));
	}
	for (size_t k = 0; k < NELEM(p); k++)
		heap_free(p[k]);
	return NULL;
}

START_TEST(heap_is_whole)
{
	enum { N = 4 };
	pthread_t t[N];
	unsigned late = 0;

	park_enable();
	for (uintptr_t i = 0; i < N; i++) {
		start_thread(allocate, (void *)i, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(300); round++) {
		if (stw_stop(&w, LONG) != STW_OK) {
			late++;
			continue;
		}
		MUST_EQ(w.n, N);
		MUST_EQ(w.nrunning, 0);
		MUST_EQ(mheap.lock.state, 0);
		heap_check();
		stw_start(&w);
		usleep(rng_below(&(struct rng){round}, 200));
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(late, 0);
}
END_TEST

/* Threads that start and end all the time, each counting while it lives. */
static uint64_t steps[64];

static void *short_life(void *arg)
{
	for (int i = 0; i < 2000; i++)
		add_relaxed((uint64_t *)arg, 1);
	return NULL;
}

static void *breed(void *arg)
{
	sem_post(&up);
	while (!load_relaxed(&quit)) {
		pthread_t t[4];

		for (int i = 0; i < 4; i++)
			start_thread(short_life, arg, &t[i]);
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], NULL);
	}
	return NULL;
}

static uint64_t all_steps(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < NELEM(steps); i++)
		n += load_relaxed(&steps[i]);
	return n;
}

START_TEST(coming_and_going)
{
	enum { N = 4 };
	pthread_t t[N];

	for (uintptr_t i = 0; i < N; i++) {
		start_thread(breed, &steps[i * 8], &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(200); round++) {
		uint64_t before;

		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		before = all_steps();
		usleep(200);
		MUST_EQ(all_steps(), before);
		stw_start(&w);
		usleep(100);
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
}
END_TEST

/* setuid() uses the same signal; neither may lose the other's. */
static void *change_ids(void *arg UNUSED)
{
	sem_post(&up);
	while (!load_relaxed(&quit))
		MUST_EQ(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
	return NULL;
}

START_TEST(setuid_meanwhile)
{
	static struct sleeper s[4];
	pthread_t sleeping[4], t[2];

	park_enable();
	start_sleepers(s, sleeping, NELEM(s));
	for (int i = 0; i < 2; i++) {
		start_thread(change_ids, NULL, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(200); round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(50);
	}
	store_relaxed(&quit, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	/* setuid() interrupts poll(), as it does without us. */
	for (unsigned i = 0; i < NELEM(s); i++)
		pthread_join(sleeping[i], NULL);
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
	usleep(20000);
	for (int i = 0; i < 3; i++) {
		int64_t before = clock_mono_ns();

		if (stw_stop(&w, LONG) != STW_OK || w.nsignal || w.nparked)
			_exit(1);
		stw_start(&w);
		/* Known after the first time. */
		if (i && clock_mono_ns() - before > 1000000000)
			_exit(2);
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

/* Forks at any time: the child is never born stopped. */
static void *forks(void *arg UNUSED)
{
	sem_post(&up);
	while (!load_relaxed(&quit)) {
		struct pollfd none;
		int status;
		pid_t pid = fork();

		if (!pid) {
			parked_poll(&none, 0);
			_exit(stw_word & STW_STOPPING ? 1 : 0);
		}
		waitpid(pid, &status, 0);
		MUST_EQ(status, 0);
		/* One that libc, and so our handlers, are not told of. */
		pid = (pid_t)sys0(SYS_fork);
		if (!pid) {
			parked_poll(NULL, 0);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		MUST_EQ(status, 0);
	}
	return NULL;
}

START_TEST(fork_meanwhile)
{
	pthread_t t[2];

	park_enable();
	pthread_atfork(stw_prefork, stw_postfork_parent, stw_postfork_child);
	for (int i = 0; i < 2; i++) {
		start_thread(forks, NULL, &t[i]);
		sem_wait(&up);
	}
	for (size_t round = 0; round < scaled(300); round++) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(300);
	}
	store_relaxed(&quit, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static bool stop_in_child(void *arg UNUSED)
{
	bool ok;

	/* Alone, with one parked record: our own, which runs. */
	parked_poll(NULL, 0);
	ok = stw_stop(&w, LONG) == STW_OK && w.n == 0;
	stw_start(&w);
	return ok && park_self->tid == gettid();
}

START_TEST(child_stops_too)
{
	static struct sleeper s[2];
	pthread_t t[2];

	park_enable();
	pthread_atfork(stw_prefork, stw_postfork_parent, stw_postfork_child);
	start_sleepers(s, t, NELEM(s));
	parked_poll(NULL, 0);
	in_child(stop_in_child, NULL);
	end_sleepers(s, t, NELEM(s));
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

/* More threads than fit the first chunk of entries; records are reused. */
START_TEST(many)
{
	enum { N = 300 };
	static struct sleeper s[N];
	static pthread_t t[N];
	uint64_t sys;

	park_enable();
	for (int round = 0; round < 3; round++) {
		start_sleepers(s, t, N);
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		MUST_EQ(w.n, N);
		MUST_EQ(w.nparked, N);
		for (unsigned i = 0; i < N; i++)
			MUST(holds(entry_of(s[i].tid), s[i].word, 512));
		stw_start(&w);
		end_sleepers(s, t, N);
		if (round == 0)
			sys = sysmem_sys(SYS_GC);
		else
			MUST_EQ(sysmem_sys(SYS_GC), sys);
	}
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

START_TEST(no_memory)
{
	sysmem_fail_after = 0;
	start_thread(breed, steps, NULL);
	sem_wait(&up);
	ck_assert_int_eq(stw_stop(&w, LONG), STW_NO_MEMORY);
	ck_assert_uint_eq(stw_word & STW_STOPPING, 0);
	sysmem_fail_after = -1;
	ck_assert_int_eq(stw_stop(&w, LONG), STW_OK);
	stw_start(&w);
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
	ADD(parked);
	ADD(fences);
	ADD(unbelieved);
	ADD(frames_that_vanish);
	ADD(entering);
	ADD(handler_waits);
	ADD(lent);
	ADD(cancelled_at_rest);
	ADD(heap_is_whole);
	ADD(coming_and_going);
	ADD(setuid_meanwhile);
	ADD(deaf);
	ADD(leader_is_gone);
	ADD(fork_meanwhile);
	ADD(child_stops_too);
	ADD(several_stoppers);
	ADD(many);
	ADD(no_proc);
	ADD(no_memory);
	ADD(too_late);
	ADD(waiting_for_a_lock);
	return run_suite(s);
}
