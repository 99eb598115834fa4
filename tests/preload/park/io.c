/* SPDX-License-Identifier: MIT */
/* Bytes come and go through pipes and sockets: nothing is short. */
#include "park.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

void *feed(void *arg)
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

void case_pipes(void)
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

void case_sockets(void)
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

void case_accepts(void)
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

/* Calls that are long but do not wait. */
void case_lengthy(void)
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
