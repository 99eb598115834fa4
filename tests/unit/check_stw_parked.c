/* SPDX-License-Identifier: MIT */
/*
 * Threads in wrapped calls are at rest where they are: nothing shows them that
 * the world was stopped, and nothing lets them go on while it is.
 */
#include "gc/stw_ways.h"
#include "support/random.h"
#include "support/stopworld.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>

static uint32_t quit;

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
static int parked_tid;

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

	parked_tid = gettid();
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
	await_asleep(parked_tid);
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
		add_relaxed(calls, 1);
		for (size_t i = 0; i < *calls % 1024; i++)
			cpu_relax();
	}
	return NULL;
}

START_TEST(entering)
{
	static size_t calls[3];
	pthread_t t[NELEM(calls)];
	size_t round = 0;

	park_enable();
	for (unsigned i = 0; i < NELEM(t); i++) {
		start_thread(enters, &calls[i], &t[i]);
		sem_wait(&up);
	}
	/* Until each has had its turn, too. */
	while (round < scaled(1000) || !load_relaxed(&calls[0]) ||
		!load_relaxed(&calls[1]) || !load_relaxed(&calls[2])) {
		MUST_EQ(stw_stop(&w, LONG), STW_OK);
		stw_start(&w);
		usleep(rng_below(&(struct rng){round++}, 100));
	}
	store_relaxed(&quit, 1);
	for (unsigned i = 0; i < NELEM(t); i++)
		pthread_join(t[i], NULL);
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
	parked_tid = gettid();
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
		await_asleep(parked_tid);
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

/* A case for each, so that CK_RUN_CASE can pick one. */
#define ADD(test) tcase_add_test(new_case(s, #test), test)

int main(void)
{
	Suite *s = suite_create("stw_parked");

	seed_init();
	sem_init(&up, 0, 0);
	ADD(parked);
	ADD(fences);
	ADD(unbelieved);
	ADD(frames_that_vanish);
	ADD(entering);
	ADD(handler_waits);
	ADD(lent);
	ADD(cancelled_at_rest);
	return run_suite(s);
}
