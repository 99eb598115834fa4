/* SPDX-License-Identifier: MIT */
/* Nothing happens, and the time is over: no EINTR, nothing left of it. */
#include "park.h"

#include <aio.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

static struct timespec from_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += WAIT_MS * MS;
	if (t.tv_nsec >= 1000 * MS) {
		t.tv_nsec -= 1000 * MS;
		t.tv_sec++;
	}
	return t;
}

void case_sleeps(void)
{
	struct timespec t = a_while, left = {9, 9};

	CHECK(nanosleep(&t, &left) == 0);
	CHECK(left.tv_sec == 9);
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL) == 0);
	t = from_now(CLOCK_REALTIME);
	CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == 0);
	CHECK(usleep(WAIT_MS * 1000) == 0);
	CHECK(thrd_sleep(&a_while, NULL) == 0);
}

void case_sleeps_long(void)
{
	CHECK(sleep(1) == 0);
}

void case_polls(void)
{
	struct timeval tv = {0, WAIT_MS * 1000};
	struct pollfd none = {.events = POLLIN};
	struct epoll_event ev;
	int p[2], ep = epoll_create1(0);
	fd_set set;

	CHECK(pipe(p) == 0);
	none.fd = p[0];
	FD_ZERO(&set);
	FD_SET(p[0], &set);
	CHECK(poll(&none, 1, WAIT_MS) == 0);
	CHECK(ppoll(&none, 1, &a_while, NULL) == 0);
	CHECK(select(p[0] + 1, &set, NULL, NULL, &tv) == 0);
	CHECK(tv.tv_sec == 0 && tv.tv_usec == 0);
	FD_SET(p[0], &set);
	CHECK(pselect(p[0] + 1, &set, NULL, NULL, &a_while, NULL) == 0);
	CHECK(epoll_wait(ep, &ev, 1, WAIT_MS) == 0);
	CHECK(epoll_pwait(ep, &ev, 1, WAIT_MS, NULL) == 0);
	CHECK(epoll_pwait2(ep, &ev, 1, &a_while, NULL) == 0);
	close(ep);
	close(p[0]);
	close(p[1]);
}

void case_timed_locks(void)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	struct timespec t;
	sem_t sem;
	mtx_t mtx;
	cnd_t cnd;

	sem_init(&sem, 0, 0);
	t = from_now(CLOCK_REALTIME);
	FAILS(sem_timedwait(&sem, &t), ETIMEDOUT);
	t = from_now(CLOCK_MONOTONIC);
	FAILS(sem_clockwait(&sem, CLOCK_MONOTONIC, &t), ETIMEDOUT);
	pthread_mutex_lock(&m);
	t = from_now(CLOCK_REALTIME);
	CHECK(pthread_cond_timedwait(&c, &m, &t) == ETIMEDOUT);
	t = from_now(CLOCK_MONOTONIC);
	CHECK(pthread_cond_clockwait(&c, &m, CLOCK_MONOTONIC, &t) == ETIMEDOUT);
	pthread_mutex_unlock(&m);
	mtx_init(&mtx, mtx_plain);
	cnd_init(&cnd);
	mtx_lock(&mtx);
	t = from_now(CLOCK_REALTIME);
	CHECK(cnd_timedwait(&cnd, &mtx, &t) == thrd_timedout);
	mtx_unlock(&mtx);
}

/* By number. */
void case_raw_calls(void)
{
	struct timespec t = a_while;
	struct pollfd none = {.fd = -1};
	struct epoll_event ev;
	uint32_t word = 1;
	int ep = epoll_create1(0);

	CHECK(syscall(SYS_nanosleep, &t, NULL) == 0);
	CHECK(syscall(SYS_poll, &none, 1, WAIT_MS) == 0);
	CHECK(syscall(SYS_epoll_pwait, ep, &ev, 1, WAIT_MS, NULL, 8) == 0);
	FAILS(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &t), ETIMEDOUT);
	FAILS(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 2, NULL), EAGAIN);
	t = from_now(CLOCK_MONOTONIC);
	FAILS(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, &t, NULL,
		      ~0u),
		ETIMEDOUT);
	FAILS(syscall(100000), ENOSYS);
	FAILS(syscall(-1), ENOSYS);
	close(ep);
}

void case_timed_messages(void)
{
	struct timeval tv = {0, WAIT_MS * 1000};
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
	struct sembuf wait_for = {0, -1, 0};
	struct aiocb cb = {.aio_nbytes = 1};
	const struct aiocb *list[1] = {&cb};
	char buf[16], name[32];
	struct timespec t;
	int s[2], p[2], id;
	sigset_t none;
	mqd_t q;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	FAILS(recv(s[0], buf, 1, 0), EAGAIN);
	FAILS(read(s[0], buf, 1), EAGAIN);
	close(s[0]);
	close(s[1]);
	sigemptyset(&none);
	sigaddset(&none, SIGWINCH);
	FAILS(sigtimedwait(&none, NULL, &a_while), EAGAIN);
	id = semget(IPC_PRIVATE, 1, 0600);
	if (id >= 0) {
		FAILS(semtimedop(id, &wait_for, 1, &a_while), EAGAIN);
		semctl(id, 0, IPC_RMID);
	}
	snprintf(name, sizeof(name), "/gostat-%d-t", (int)getpid());
	q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	if (q >= 0) {
		mq_unlink(name);
		t = from_now(CLOCK_REALTIME);
		FAILS(mq_timedreceive(q, buf, 16, NULL, &t), ETIMEDOUT);
		mq_close(q);
	}
	CHECK(pipe(p) == 0);
	cb.aio_fildes = p[0];
	cb.aio_buf = buf;
	CHECK(aio_read(&cb) == 0);
	FAILS(aio_suspend(list, 1, &a_while), EAGAIN);
	CHECK(write(p[1], "x", 1) == 1);
	while (aio_error(&cb) == EINPROGRESS)
		usleep(1000);
	CHECK(aio_return(&cb) == 1);
	close(p[0]);
	close(p[1]);
}
