/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait, each in a thread of its own, while cycles of the collector
 * come one after the other. Each must do exactly what it does without: no
 * EINTR, nothing short, no signal lost. How long anything takes is not looked
 * at.
 *
 *	park [CYCLES [BITS OF CASES]]
 */
#include "check.h"
#include <gostat.h>

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* sigpause() is one of the calls. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { MS = 1000000, WAIT_MS = 10, BIG = 1 << 20 };

static int cycles = 200;
static volatile bool started, over;

static const struct timespec a_while = {0, WAIT_MS * MS};

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

/* A thread that does something in a moment. */
static pthread_t later(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	CHECK(pthread_create(&t, &attr, fn, arg) == 0);
	pthread_attr_destroy(&attr);
	return t;
}

static void join(pthread_t t)
{
	CHECK(pthread_join(t, NULL) == 0);
}

static void moment(void)
{
	struct timespec t = a_while;

	CHECK(nanosleep(&t, NULL) == 0);
}

#define FAILS(call, error) CHECK((errno = 0, (call) == -1) && errno == (error))

/* Nothing happens, and the time is over. */
static void sleeps(void)
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

static void sleeps_long(void)
{
	CHECK(sleep(1) == 0);
}

static void polls(void)
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

static void timed_locks(void)
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
static void raw_calls(void)
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

static void timed_messages(void)
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

/* Something comes. */
struct to {
	int fd;
	size_t n;
};

static void *feed(void *arg)
{
	const struct to *to = arg;
	char *buf = calloc(1, to->n);
	size_t half = to->n / 2;

	moment();
	CHECK(half == 0 || write(to->fd, buf, half) == (ssize_t)half);
	moment();
	CHECK(write(to->fd, buf, to->n - half) == (ssize_t)(to->n - half));
	free(buf);
	return NULL;
}

/* Take it, slowly. */
static void *drain(void *arg)
{
	const struct to *to = arg;
	char *buf = malloc(65536);
	size_t n = 0;

	for (int i = 0; n < to->n; i++) {
		ssize_t got;

		if (i % 16 == 0)
			usleep(2000);
		got = read(to->fd, buf, 65536);
		CHECK(got > 0);
		n += (size_t)got;
	}
	free(buf);
	return NULL;
}

static void pipes(void)
{
	char *big = calloc(1, BIG);
	struct iovec v[2] = {{big, BIG / 2}, {big, BIG / 2}};
	char c;
	int p[2];
	struct to in, out;
	pthread_t t;

	CHECK(pipe(p) == 0);
	in = (struct to){p[1], 1};
	out = (struct to){p[0], BIG};
	t = later(feed, &in);
	CHECK(read(p[0], &c, 1) == 1);
	join(t);
	t = later(feed, &in);
	v[0].iov_len = 1;
	CHECK(readv(p[0], v, 1) == 1);
	join(t);
	v[0].iov_len = BIG / 2;
	t = later(drain, &out);
	CHECK(write(p[1], big, BIG) == BIG);
	join(t);
	t = later(drain, &out);
	CHECK(writev(p[1], v, 2) == BIG);
	join(t);
	close(p[0]);
	close(p[1]);
	free(big);
}

static void sockets(void)
{
	char *big = calloc(1, BIG);
	struct iovec v = {big, BIG};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	struct to in, out;
	pthread_t t;
	int s[2], file;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	in = (struct to){s[1], 20000};
	out = (struct to){s[1], BIG};
	t = later(feed, &in);
	CHECK(recv(s[0], big, 20000, MSG_WAITALL) == 20000);
	join(t);
	t = later(feed, &in);
	CHECK(recvfrom(s[0], big, 20000, MSG_WAITALL, NULL, NULL) == 20000);
	join(t);
	t = later(feed, &in);
	v.iov_len = 20000;
	CHECK(recvmsg(s[0], &m, MSG_WAITALL) == 20000);
	join(t);
	v.iov_len = BIG;
	t = later(drain, &out);
	CHECK(send(s[0], big, BIG, 0) == BIG);
	join(t);
	t = later(drain, &out);
	CHECK(sendto(s[0], big, BIG, 0, NULL, 0) == BIG);
	join(t);
	t = later(drain, &out);
	CHECK(sendmsg(s[0], &m, 0) == BIG);
	join(t);
	file = memfd_create("park", 0);
	CHECK(ftruncate(file, BIG) == 0);
	t = later(drain, &out);
	CHECK(sendfile(s[0], file, NULL, BIG) == BIG);
	join(t);
	close(file);
	close(s[0]);
	close(s[1]);
	free(big);
}

static void *connects(void *arg)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	moment();
	CHECK(connect(s, arg, sizeof(sa_family_t) + 16) == 0);
	close(s);
	return NULL;
}

#include <sys/un.h>

static void accepts(void)
{
	static int number;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c;

	snprintf(sa.sun_path + 1, 16, "park%d.%d", (int)getpid(), number++);
	CHECK(bind(s, (void *)&sa, sizeof(sa_family_t) + 16) == 0);
	CHECK(listen(s, 4) == 0);
	for (int i = 0; i < 2; i++) {
		pthread_t t = later(connects, &sa);

		c = i ? accept(s, NULL, NULL) : accept4(s, NULL, NULL, 0);
		CHECK(c >= 0);
		close(c);
		join(t);
	}
	close(s);
}

static void *post(void *sem)
{
	moment();
	sem_post(sem);
	return NULL;
}

struct meeting {
	pthread_mutex_t m;
	pthread_cond_t c;
	bool met;
};

static void *meet(void *arg)
{
	struct meeting *it = arg;

	moment();
	pthread_mutex_lock(&it->m);
	it->met = true;
	pthread_cond_signal(&it->c);
	pthread_mutex_unlock(&it->m);
	return NULL;
}

static void *unlocks(void *arg)
{
	moment();
	flock(*(int *)arg, LOCK_UN);
	return NULL;
}

static void locks(void)
{
	struct meeting it = {.m = PTHREAD_MUTEX_INITIALIZER,
		.c = PTHREAD_COND_INITIALIZER};
	char path[] = "/tmp/gostat-park-XXXXXX";
	int held, wanted;
	pthread_t t;
	sem_t sem;

	sem_init(&sem, 0, 0);
	t = later(post, &sem);
	CHECK(sem_wait(&sem) == 0);
	join(t);
	t = later(meet, &it);
	pthread_mutex_lock(&it.m);
	while (!it.met)
		CHECK(pthread_cond_wait(&it.c, &it.m) == 0);
	pthread_mutex_unlock(&it.m);
	join(t);
	held = mkstemp(path);
	wanted = open(path, O_RDWR);
	unlink(path);
	CHECK(flock(held, LOCK_EX) == 0);
	t = later(unlocks, &held);
	CHECK(flock(wanted, LOCK_EX) == 0);
	join(t);
	close(held);
	close(wanted);
}

/* System V and POSIX queues, where the machine has them. */
struct letter {
	long type;
	char text[1024];
};

static void *send_letter(void *id)
{
	struct letter l = {.type = 1};

	moment();
	CHECK(msgsnd(*(int *)id, &l, sizeof(l.text), 0) == 0);
	return NULL;
}

static void *take_letter(void *id)
{
	struct letter l;

	moment();
	CHECK(msgrcv(*(int *)id, &l, sizeof(l.text), 0, 0) ==
		sizeof(l.text));
	return NULL;
}

static void *raise_sem(void *id)
{
	struct sembuf up = {0, 1, 0};

	moment();
	CHECK(semop(*(int *)id, &up, 1) == 0);
	return NULL;
}

static void system_v(void)
{
	struct sembuf down = {0, -1, 0};
	struct letter l = {.type = 1};
	int id = msgget(IPC_PRIVATE, 0600);
	pthread_t t;

	if (id >= 0) {
		t = later(send_letter, &id);
		CHECK(msgrcv(id, &l, sizeof(l.text), 0, 0) == sizeof(l.text));
		join(t);
		while (msgsnd(id, &l, sizeof(l.text), IPC_NOWAIT) == 0)
			;
		t = later(take_letter, &id);
		CHECK(msgsnd(id, &l, sizeof(l.text), 0) == 0);
		join(t);
		msgctl(id, IPC_RMID, NULL);
	}
	id = semget(IPC_PRIVATE, 1, 0600);
	if (id >= 0) {
		t = later(raise_sem, &id);
		CHECK(semop(id, &down, 1) == 0);
		join(t);
		semctl(id, 0, IPC_RMID);
	}
}

static void *mail(void *q)
{
	moment();
	CHECK(mq_send(*(mqd_t *)q, "x", 1, 0) == 0);
	return NULL;
}

static void *fetch(void *q)
{
	char buf[16];

	moment();
	CHECK(mq_receive(*(mqd_t *)q, buf, 16, NULL) == 1);
	return NULL;
}

static void queues(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
	char name[32], buf[16];
	pthread_t t;
	mqd_t q;

	snprintf(name, sizeof(name), "/gostat-%d", (int)getpid());
	q = mq_open(name, O_RDWR | O_CREAT, 0600, &attr);
	if (q < 0)
		return;
	mq_unlink(name);
	t = later(mail, &q);
	CHECK(mq_receive(q, buf, 16, NULL) == 1);
	join(t);
	CHECK(mq_send(q, "x", 1, 0) == 0);
	t = later(fetch, &q);
	CHECK(mq_send(q, "y", 1, 0) == 0);
	join(t);
	mq_close(q);
}

/* Signals that are waited for, and those that have a handler. */
static __thread volatile sig_atomic_t handled;

static void on_usr1(int signo)
{
	(void)signo;
	handled++;
}

static void *send_usr1(void *to)
{
	moment();
	pthread_kill(*(pthread_t *)to, SIGUSR1);
	return NULL;
}

static void *send_usr2(void *to)
{
	moment();
	pthread_kill(*(pthread_t *)to, SIGUSR2);
	return NULL;
}

static void signals(void)
{
	pthread_t self = pthread_self(), t;
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
	t = later(send_usr1, &self);
	FAILS(sigsuspend(&old), EINTR);
	CHECK(handled == 1);
	join(t);
	t = later(send_usr1, &self);
	FAILS(ppoll(&nobody, 1, NULL, &old), EINTR);
	CHECK(handled == 2);
	join(t);
	t = later(send_usr1, &self);
	FAILS(sigpause(SIGUSR1), EINTR);
	CHECK(handled == 3);
	join(t);
	handled--;
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	/* Not lost if it comes before. */
	t = later(send_usr1, &self);
	FAILS(poll(&nobody, 1, 1000000), EINTR);
	CHECK(handled == 3);
	join(t);
	t = later(send_usr1, &self);
	FAILS(pause(), EINTR);
	CHECK(handled == 4);
	join(t);
}

/* A handler with SA_RESTART in a call that goes on, and one that jumps. */
static __thread sigjmp_buf back;

static void on_hup(int signo)
{
	(void)signo;
	siglongjmp(back, 1);
}

static void *send_hup(void *to)
{
	moment();
	pthread_kill(*(pthread_t *)to, SIGHUP);
	return NULL;
}

static void work(void)
{
	void *p[50];

	for (int k = 0; k < 50; k++) {
		for (int i = 0; i < 50; i++)
			p[i] = malloc((size_t)(i * 16 + k));
		for (int i = 0; i < 50; i++)
			free(p[i]);
	}
}

static void jumps(void)
{
	pthread_t self = pthread_self(), u;
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
		t = later(send_hup, &self);
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

/* Cancelled in the middle of it; the handlers run, the thread ends. */
static void tidy(void *arg)
{
	work();
	++*(int *)arg;
}

static int never[2];
static sem_t nobody_posts;

static void wait_by(int way)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	sigset_t winch;
	char c;

	switch (way) {
	case 0:
		read(never[0], &c, 1);
		break;
	case 1:
		poll(NULL, 0, -1);
		break;
	case 2:
		pause();
		break;
	case 3:
		sem_wait(&nobody_posts);
		break;
	case 4:
		pthread_mutex_lock(&m);
		pthread_cond_wait(&cond, &m);
		break;
	case 5:
		recv(never[0], &c, 1, 0);
		break;
	case 6:
		sleep(1000);
		break;
	case 7:
		sigemptyset(&winch);
		sigaddset(&winch, SIGWINCH);
		sigwaitinfo(&winch, NULL);
		break;
	case 8:
		accept(never[0], NULL, NULL);
		select(0, NULL, NULL, NULL, NULL);
		break;
	case 9:
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
		pause();
		break;
	}
}

struct victim {
	int way, tidied;
};

static void *dies(void *arg)
{
	struct victim *v = arg;

	pthread_cleanup_push(tidy, &v->tidied);
	wait_by(v->way);
	pthread_cleanup_pop(0);
	return NULL;
}

static void cancels(void)
{
	for (int way = 0; way < 10; way++) {
		struct victim v = {.way = way};
		pthread_t t = later(dies, &v);
		void *result;

		if (way % 2)
			moment();
		CHECK(pthread_cancel(t) == 0);
		CHECK(pthread_join(t, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
		CHECK(v.tidied == 1);
	}
}

/* Children of all kinds. */
static int child_calls(int in, int out)
{
	struct pollfd fd = {.fd = in, .events = POLLIN};
	char c;

	poll(NULL, 0, 1);
	if (poll(&fd, 1, -1) != 1 || read(in, &c, 1) != 1 ||
		write(out, &c, 1) != 1)
		return 1;
	return 7;
}

static void children(void)
{
	int p[2], q[2], status;
	char c = 'x';
	pid_t pid;

	CHECK(pipe(p) == 0 && pipe(q) == 0);
	for (int way = 0; way < 4; way++) {
		CHECK(write(p[1], &c, 1) == 1);
		pid = way == 0 ? fork() : vfork();
		if (pid == 0) {
			if (child_calls(p[0], q[1]) != 7)
				_exit(1);
			if (way == 1)
				_exit(7);
			execl("/bin/sh", "sh", "-c", "exit 7", NULL);
			_exit(2);
		}
		CHECK(pid > 0);
		CHECK(read(q[0], &c, 1) == 1 && c == 'x');
		if (way % 2) {
			CHECK(waitpid(pid, &status, 0) == pid);
		} else {
			CHECK(wait4(pid, &status, 0, NULL) == pid);
		}
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	status = system("exit 3");
	CHECK(WEXITSTATUS(status) == 3);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}

/* Calls that are long but do not wait. */
static void lengthy(void)
{
	size_t n = 4 << 20;
	char *buf = malloc(n);
	int file = memfd_create("park", 0);

	CHECK(getrandom(buf, n, 0) == (ssize_t)n);
	CHECK(posix_fallocate(file, 0, (off_t)n) == 0);
	CHECK(write(file, buf, n) == (ssize_t)n);
	CHECK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		(off_t)n) == 0);
	CHECK(pread(file, buf, n, 0) == (ssize_t)n);
	close(file);
	free(buf);
}

/* Handlers all the time, in calls and outside. */
static __thread volatile unsigned storms;

static void on_storm(int signo)
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
	for (int i = 0; i < 20; i++) {
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

static void storms_case(void)
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
	CHECK(storms > 0);
}

/*
 * What nobody handles is dropped where it is sent to, the first thread, and
 * disturbs no one. Blocked there, it would go on to another.
 */
static void ignored(void)
{
	while (!started) /* pthread_create blocks everything for a moment */
		usleep(1000);
	for (int i = 0; i < 50; i++) {
		CHECK(kill(getpid(), SIGURG) == 0);
		usleep(100);
	}
}

static void (*const cases[])(void) = {sleeps, sleeps_long, polls, timed_locks,
	timed_messages, pipes, sockets, accepts, locks, system_v, queues,
	signals, jumps, cancels, children, lengthy, storms_case,
	ignored, raw_calls};
enum { NCASES = sizeof(cases) / sizeof(cases[0]) };

static void *run_case(void *arg)
{
	void (*const *fn)(void) = arg;

	do
		(*fn)();
	while (!over);
	return NULL;
}

/* Threads that have nothing to do, and end as they should. */
static struct meeting all = {.m = PTHREAD_MUTEX_INITIALIZER,
	.c = PTHREAD_COND_INITIALIZER};
static int gate[2];

static void *idles(void *arg)
{
	struct pollfd fd = {.fd = gate[0], .events = POLLIN};
	size_t way = (size_t)arg % 3;
	char c;

	if (way == 0) {
		CHECK(poll(&fd, 1, -1) == 1);
	} else if (way == 1) {
		CHECK(read(gate[0], &c, 1) == 0);
	} else {
		pthread_mutex_lock(&all.m);
		while (!all.met)
			CHECK(pthread_cond_wait(&all.c, &all.m) == 0);
		pthread_mutex_unlock(&all.m);
	}
	return NULL;
}

static void collect(void)
{
	if (gostat_gc)
		gostat_gc();
	else
		usleep(100);
}

static void many_idle(void)
{
	enum { N = 1000 };
	static pthread_t t[N];
	struct timespec a, b;

	CHECK(pipe(gate) == 0);
	for (size_t i = 0; i < N; i++)
		t[i] = later(idles, (void *)i);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < cycles; i++)
		collect();
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (getenv("PARK_TIMES"))
		fprintf(stderr, "idle: %ld us a cycle\n",
			((b.tv_sec - a.tv_sec) * 1000000 +
				(b.tv_nsec - a.tv_nsec) / 1000) /
				cycles);
	close(gate[1]);
	pthread_mutex_lock(&all.m);
	all.met = true;
	pthread_cond_broadcast(&all.c);
	pthread_mutex_unlock(&all.m);
	for (size_t i = 0; i < N; i++)
		join(t[i]);
}

static void handlers(void)
{
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	struct sigaction old;
	sigset_t blocked;

	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	sa.sa_handler = on_hup;
	CHECK(sigaction(SIGHUP, &sa, NULL) == 0);
	sa.sa_handler = on_storm;
	CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
	CHECK(sigaction(SIGALRM, NULL, &old) == 0);
	CHECK(old.sa_handler == on_storm);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGALRM);
	/* system() blocks it for itself: another thread would be woken up. */
	sigaddset(&blocked, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

int main(int argc, char **argv)
{
	unsigned long which = ~0ul;
	pthread_t t[NCASES];

	if (argc > 1)
		cycles = atoi(argv[1]);
	if (argc > 2)
		which = strtoul(argv[2], NULL, 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, never) == 0);
	sem_init(&nobody_posts, 0, 0);
	handlers();
	for (int i = 0; i < NCASES; i++)
		if (which >> i & 1)
			CHECK(pthread_create(&t[i], NULL, run_case,
				      (void *)&cases[i]) == 0);
	started = true;
	for (int i = 0; i < cycles; i++) {
		collect();
		usleep(1000);
	}
	over = true;
	for (int i = 0; i < NCASES; i++)
		if (which >> i & 1)
			join(t[i]);
	if (argc < 3)
		many_idle();
	return 0;
}
