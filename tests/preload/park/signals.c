/* SPDX-License-Identifier: MIT */
/* Signals: none is lost, none comes twice, handlers may jump. */
#include "park.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sigpause() is one of the calls. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Signals that are waited for, and those that have a handler. */
__thread volatile sig_atomic_t handled;

void on_usr1(int signo)
{
	(void)signo;
	handled++;
}

void *send_usr1(void *to)
{
	moment();
	pthread_kill(*(pthread_t *)to, SIGUSR1);
	return NULL;
}

/*
 * A thread that is about to wait until a signal comes. If one comes before,
 * nothing ends its call; and on a busy machine a moment is not enough.
 */
struct waiter {
	pthread_t thread;
	int tid;
};

/* The system call that it is in, -1: none; -2: the kernel does not say. */
static int call_of(int tid)
{
	char path[64], text[128] = "";
	int fd, n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -2;
	n = (int)read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -2;
	return text[0] == 'r' ? -1 : atoi(text);
}

static void until_it_waits(const struct waiter *w)
{
	static const int calls[] = {SYS_poll, SYS_ppoll, SYS_pause, SYS_read,
		SYS_rt_sigsuspend};
	int now;

	for (;;) {
		moment();
		now = call_of(w->tid);
		if (now == -2)
			return;
		for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
			if (now == calls[i])
				return;
	}
}

static void *interrupt(void *waiter)
{
	const struct waiter *w = waiter;

	until_it_waits(w);
	pthread_kill(w->thread, SIGUSR1);
	return NULL;
}

static void *send_usr2(void *to)
{
	moment();
	pthread_kill(*(pthread_t *)to, SIGUSR2);
	return NULL;
}

void case_signals(void)
{
	pthread_t self = pthread_self(), t;
	struct waiter w = {self, gettid()};
	sigset_t usr1, usr2, none, old;
	struct pollfd nobody = {.fd = -1};
	siginfo_t info;
	int signo;

	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2); /* blocked by everybody */
	t = later(send_usr2, &self);
	CHECK(sigwaitinfo(&usr2, &info) == SIGUSR2);
	CHECK(info.si_pid == getpid());
	join(t);
	t = later(send_usr2, &self);
	CHECK(sigwait(&usr2, &signo) == 0 && signo == SIGUSR2);
	join(t);
	pthread_sigmask(SIG_BLOCK, &usr1, &old);
	sigdelset(&old, SIGUSR1);
	handled = 0;
	t = later(interrupt, &w);
	FAILS(sigsuspend(&old), EINTR);
	CHECK(handled == 1);
	join(t);
	t = later(interrupt, &w);
	FAILS(ppoll(&nobody, 1, NULL, &old), EINTR);
	CHECK(handled == 2);
	join(t);
	t = later(interrupt, &w);
	FAILS(sigpause(SIGUSR1), EINTR);
	CHECK(handled == 3);
	join(t);
	handled--;
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	t = later(interrupt, &w);
	FAILS(poll(&nobody, 1, 1000000), EINTR);
	CHECK(handled == 3);
	join(t);
	t = later(interrupt, &w);
	FAILS(pause(), EINTR);
	CHECK(handled == 4);
	join(t);
}

/* A handler with SA_RESTART in a call that goes on, and one that jumps. */
static __thread sigjmp_buf back;

void on_hup(int signo)
{
	(void)signo;
	siglongjmp(back, 1);
}

static void *send_hup(void *waiter)
{
	const struct waiter *w = waiter;

	until_it_waits(w);
	pthread_kill(w->thread, SIGHUP);
	return NULL;
}

void case_jumps(void)
{
	pthread_t self = pthread_self(), u;
	struct waiter w = {self, gettid()};
	volatile pthread_t t;
	struct to in;
	int p[2];
	char c;

	CHECK(pipe(p) == 0);
	for (volatile int way = 0; way < 3; way++) {
		if (sigsetjmp(back, 1)) {
			work();
			join(t);
			continue;
		}
		t = later(send_hup, &w);
		if (way == 0)
			poll(NULL, 0, -1);
		else if (way == 1)
			read(p[0], &c, 1);
		else
			sigsuspend(&(sigset_t){0});
		CHECK(!"reached");
	}
	in = (struct to){p[1], 1};
	handled = 0;
	t = later(send_usr1, &self);
	u = later(feed, &in);
	CHECK(read(p[0], &c, 1) == 1); /* SA_RESTART */
	join(t);
	join(u);
	CHECK(handled == 1);
	close(p[0]);
	close(p[1]);
}

/* Handlers all the time, in calls and outside. */
static __thread volatile unsigned storms;

void on_storm(int signo)
{
	int saved = errno;

	(void)signo;
	storms++;
	poll(NULL, 0, 0);
	errno = saved;
}

static pthread_t target;
static volatile bool calm;

static void *storm(void *arg)
{
	(void)arg;
	while (!calm) {
		pthread_kill(target, SIGALRM);
		usleep(50);
	}
	return NULL;
}

static void in_the_storm(void)
{
	int p[2];
	char c;

	CHECK(pipe(p) == 0);
	for (int i = 0; i < 20 || !storms; i++) {
		struct to in = {p[1], 1};
		pthread_t t = later(feed, &in);
		int r = poll(NULL, 0, 5);

		CHECK(r == 0 || (r == -1 && errno == EINTR));
		work();
		CHECK(read(p[0], &c, 1) == 1); /* SA_RESTART */
		work();
		join(t);
	}
	close(p[0]);
	close(p[1]);
}

void case_storms(void)
{
	sigset_t alrm;
	pthread_t t;

	sigemptyset(&alrm);
	sigaddset(&alrm, SIGALRM);
	calm = false;
	target = pthread_self();
	pthread_sigmask(SIG_UNBLOCK, &alrm, NULL);
	t = later(storm, NULL);
	in_the_storm();
	calm = true;
	join(t);
	pthread_sigmask(SIG_BLOCK, &alrm, NULL);
}

/*
 * What nobody handles is dropped where it is sent to, the first thread, and
 * disturbs no one. Blocked there, it would go on to another.
 */
void case_ignored(void)
{
	while (!started) /* pthread_create blocks everything for a moment */
		usleep(1000);
	for (int i = 0; i < 50; i++) {
		CHECK(kill(getpid(), SIGURG) == 0);
		usleep(100);
	}
}
