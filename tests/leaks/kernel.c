/* SPDX-License-Identifier: MIT */
/*
 * Addresses that only the kernel keeps: what epoll, a timer, a queued signal
 * will hand back.
 *
 * truth: epoll keep | clean modes=exit,find,stw
 * truth: epoll keep | 1/4242 modes=strict
 * truth: epoll drop | 1/4242
 * truth: epoll mod | clean modes=exit,find,stw
 * truth: epoll close | 1/4242
 * truth: timer keep | clean modes=exit,find,stw
 * truth: timer drop | 1/4242
 * truth: queued keep | clean modes=exit,find,stw
 * truth: queued drop | 1/4242
 */
#include "truth.h"

#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

static const char *end = "keep";

static bool ends(const char *how)
{
	return !strcmp(end, how);
}

static NOINLINE void in_epoll(cookie c)
{
	int fd[2], ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};

	MUST(ep >= 0 && !pipe2(fd, O_CLOEXEC));
	if (ends("mod")) {
		MUST(!epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &e));
		e.data.ptr = reveal(c);
		MUST(!epoll_ctl(ep, EPOLL_CTL_MOD, fd[0], &e));
	} else {
		e.data.ptr = reveal(c);
		MUST(!epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &e));
	}
	if (ends("drop"))
		MUST(!epoll_ctl(ep, EPOLL_CTL_DEL, fd[0], NULL));
	if (ends("close"))
		close(ep);
}

static NOINLINE void in_timer(cookie c)
{
	struct sigevent e = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	timer_t id;

	e.sigev_value.sival_ptr = reveal(c);
	MUST(!timer_create(CLOCK_MONOTONIC, &e, &id));
	if (ends("drop"))
		MUST(!timer_delete(id));
}

static NOINLINE void in_queue(cookie c)
{
	union sigval v = {.sival_ptr = reveal(c)};
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(!sigqueue(getpid(), SIGRTMIN + 3, v));
	if (ends("drop"))
		MUST(sigwaitinfo(&set, &info) == SIGRTMIN + 3);
}

int main(int argc, char **argv)
{
	cookie c = make(MARKER);

	if (argc > 2)
		end = argv[2];
	if (said(argc, argv, "epoll"))
		in_epoll(c);
	else if (said(argc, argv, "timer"))
		in_timer(c);
	else
		in_queue(c);
	clobber();
	now();
	return 0;
}
