/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_STOPWORLD_H
#define GOSTAT_TESTS_STOPWORLD_H

/* Threads to be stopped, and what a stop says of them. */

#include "base/atomics.h"
#include "gc/park.h"
#include "gc/stw.h"
#include "support/asleep.h"
#include "support/run.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x5a5ac0dedead0000)

static struct stw w;
static sem_t up; /* posted by threads that are there */

static inline void start_thread(void *(*fn)(void *), void *arg, pthread_t *t)
{
	pthread_t unused;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	MUST_EQ(pthread_create(t ? t : &unused, &attr, fn, arg), 0);
	pthread_attr_destroy(&attr);
}

static inline const struct stw_thread *entry_of(int tid)
{
	for (unsigned i = 0; i < w.n; i++)
		if (stw_thread(&w, i)->tid == tid)
			return stw_thread(&w, i);
	return NULL;
}

/*
 * Is word among what t has in use, at most n bytes up its stack? Libc has its
 * descriptor at the end of it. (Sanitizers say that others' frames are not ours
 * to read.)
 */
__attribute__((no_sanitize("address", "thread"))) static inline bool holds(
	const struct stw_thread *t, uint64_t word, size_t n)
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

/* A wrapper as preload/ has them, in a frame of its own. */
NOINLINE UNUSED static int parked_poll(struct pollfd *fds, int timeout)
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
static inline int poll_with_register(struct pollfd *fds, uint64_t not_word)
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

static inline void *sleep_parked(void *arg)
{
	struct sleeper *s = arg;

	s->tid = gettid();
	sem_post(&up);
	errno = 77;
	s->result = poll_with_register(s->fds, ~s->word);
	s->error = errno;
	return NULL;
}

static inline unsigned count_parked(void)
{
	unsigned n = 0;

	for (struct park *p = NULL; (p = park_next(p));)
		n += load_relaxed(&p->sp) != 0;
	return n;
}

static inline void start_sleepers(struct sleeper *s, pthread_t *t, unsigned n)
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
	/* Parked in front of the call, a signal would not interrupt it. */
	for (unsigned i = 0; i < n; i++)
		await_asleep(s[i].tid);
}

static inline void end_sleepers(struct sleeper *s, pthread_t *t, unsigned n)
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

#endif
