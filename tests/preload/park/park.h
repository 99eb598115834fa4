/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TESTS_PRELOAD_PARK_H
#define GOSTAT_TESTS_PRELOAD_PARK_H

/* What the cases of park.c have in common. */

#include "../check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum { MS = 1000000, WAIT_MS = 10, BIG = 1 << 20 };

static const struct timespec a_while = {0, WAIT_MS * MS};

#define FAILS(call, error) CHECK((errno = 0, (call) == -1) && errno == (error))

/* All threads are there. */
extern volatile bool started;

/* A thread that does something in a moment. */
pthread_t later(void *(*fn)(void *), void *arg);
void join(pthread_t t);
void moment(void);

/* Work for the allocator. */
void work(void);

/* Feed n bytes to fd, in two parts; an argument for later(). */
struct to {
	int fd;
	size_t n;
};
void *feed(void *to);

/* How often on_usr1() ran on this thread. */
extern __thread volatile sig_atomic_t handled;
void *send_usr1(void *to); /* to a pthread_t; for later() */

/* The handlers of SIGUSR1, SIGHUP (which jumps) and SIGALRM. */
void on_usr1(int signo);
void on_hup(int signo);
void on_storm(int signo);

/* Before case_cancels(). */
void ends_init(void);

/* Each is done in a thread of its own, again and again. */
void case_sleeps(void);
void case_sleeps_long(void);
void case_polls(void);
void case_timed_locks(void);
void case_raw_calls(void);
void case_timed_messages(void);
void case_pipes(void);
void case_sockets(void);
void case_accepts(void);
void case_locks(void);
void case_system_v(void);
void case_queues(void);
void case_signals(void);
void case_jumps(void);
void case_cancels(void);
void case_children(void);
void case_lengthy(void);
void case_storms(void);
void case_ignored(void);
void case_kernel_aio(void);
void case_io_uring(void);
void case_joins(void);
void case_stdio(void);
void case_spawned(void);
void case_record_locks(void);
void case_fifo(void);
void case_listio(void);

#endif
