/* SPDX-License-Identifier: MIT */
/*
 * Addresses that only the kernel keeps: what epoll, a timer, a queued signal
 * will hand back. raw: given to it by syscall().
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
 * truth: epoll keep raw | clean modes=exit,find,stw
 * truth: epoll drop raw | 1/4242
 * truth: timer keep raw | clean modes=exit,find,stw
 * truth: queued keep raw | clean modes=exit,find,stw
 * truth: queued drop raw | 1/4242
 * truth: thread keep raw | clean modes=exit,find,stw
 * truth: thread keep | clean modes=exit,find,stw
 * truth: thread drop raw | 1/4242
 * truth: mqueue keep | clean modes=exit,find,stw
 * truth: mqueue keep raw | clean modes=exit,find,stw
 * truth: mqueue drop raw | 1/4242
 * truth: aio keep raw | clean modes=exit,find,stw
 * truth: aio keep | clean modes=exit,find,stw
 * truth: aio drop raw | 1/4242
 * truth: aio drop | 1/4242
 * truth: aio close raw | 1/4242
 * truth: aio close | 1/4242
 */
#include "truth.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

static const char *end = "keep";
static bool raw;

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
		MUST(!(raw ? syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fd[0],
				     &e)
			   : epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &e)));
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
	int number;

	e.sigev_value.sival_ptr = reveal(c);
	if (raw) {
		MUST(!syscall(SYS_timer_create, CLOCK_MONOTONIC, &e, &number));
		return;
	}
	MUST(!timer_create(CLOCK_MONOTONIC, &e, &id));
	if (ends("drop"))
		MUST(!timer_delete(id));
}

static siginfo_t with_value(cookie c, int signo)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = signo;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_ptr = reveal(c);
	return info;
}

static NOINLINE void in_queue(cookie c, bool to_thread)
{
	int signo = SIGRTMIN + 3;
	siginfo_t info = with_value(c, signo);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	MUST(!sigprocmask(SIG_BLOCK, &set, NULL));
	if (to_thread && raw)
		MUST(!syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), signo,
			&info));
	else if (to_thread)
		MUST(!pthread_sigqueue(pthread_self(), signo, info.si_value));
	else if (raw)
		MUST(!syscall(SYS_rt_sigqueueinfo, getpid(), signo, &info));
	else
		MUST(!sigqueue(getpid(), signo, info.si_value));
	if (ends("drop"))
		MUST(sigwaitinfo(&set, &info) == signo);
}

/* Who mounts no /dev/mqueue may still have queues, or may not. */
static NOINLINE void in_mqueue(cookie c)
{
	struct sigevent e = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	char name[32];
	mqd_t q;

	snprintf(name, sizeof(name), "/truth-%d", (int)getpid());
	q = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, NULL);
	if (q < 0)
		_exit(SKIP);
	mq_unlink(name);
	e.sigev_value.sival_ptr = reveal(c);
	MUST(!(raw ? syscall(SYS_mq_notify, q, &e) : mq_notify(q, &e)));
	if (ends("drop"))
		MUST(!(raw ? syscall(SYS_mq_notify, q, NULL)
			   : mq_notify(q, NULL)));
}

/* libaio's functions, if somebody has them. */
__attribute__((weak)) int io_submit(
	unsigned long ctx, long n, struct iocb **request);
__attribute__((weak)) int io_getevents(unsigned long ctx, long min, long n,
	struct io_event *event, struct timespec *time);
__attribute__((weak)) int io_destroy(unsigned long ctx);

static NOINLINE long submit(unsigned long ctx, int fd, cookie c)
{
	static struct iocb request; /* the kernel has a copy */
	struct iocb *list[] = {&request};
	long n;

	request.aio_lio_opcode = IOCB_CMD_POLL;
	request.aio_fildes = (uint32_t)fd;
	request.aio_buf = POLLIN;
	put(&request.aio_data, c, 0);
	n = raw ? syscall(SYS_io_submit, ctx, 1, list)
		: io_submit(ctx, 1, list);
	memset(&request, 0, sizeof(request));
	return n;
}

/* Waits for what another thread would write; here it has come already. */
static NOINLINE void fetch(unsigned long ctx, cookie c)
{
	struct io_event event;

	MUST((raw ? syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL)
		  : io_getevents(ctx, 1, 1, &event, NULL)) == 1);
	MUST(event.data == (uintptr_t)reveal(c));
}

static NOINLINE void in_aio(cookie c)
{
	unsigned long ctx = 0;
	int fd[2];

	if (syscall(SYS_io_setup, 8, &ctx) || (!raw && !io_submit))
		_exit(SKIP);
	MUST(!pipe2(fd, O_CLOEXEC));
	if (submit(ctx, fd[0], c) != 1)
		_exit(SKIP); /* a kernel that can't poll so */
	if (ends("drop")) {
		MUST(write(fd[1], "x", 1) == 1);
		fetch(ctx, c);
	}
	/* The ring of what has been fetched goes with it. */
	if (!ends("keep"))
		MUST(!(raw ? syscall(SYS_io_destroy, ctx) : io_destroy(ctx)));
}

int main(int argc, char **argv)
{
	cookie c = make(MARKER);

	if (argc > 2)
		end = argv[2];
	raw = said(argc, argv, "raw");
	if (said(argc, argv, "epoll"))
		in_epoll(c);
	else if (said(argc, argv, "timer"))
		in_timer(c);
	else if (said(argc, argv, "aio"))
		in_aio(c);
	else if (said(argc, argv, "mqueue"))
		in_mqueue(c);
	else
		in_queue(c, said(argc, argv, "thread"));
	clobber();
	now();
	return 0;
}
