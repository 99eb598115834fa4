/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait in libc's own code or in the kernel's, without a wrapper of
 * their name: a signal does not show there, or the call is made by number.
 */
#include "park.h"

#include <aio.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* libaio's, where somebody has it. */
__attribute__((weak)) int io_getevents(unsigned long ctx, long min, long n,
	struct io_event *event, struct timespec *time);

/* A request to poll fd. */
static bool submit(unsigned long ctx, int fd)
{
	struct iocb request = {.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = POLLIN};
	struct iocb *list[] = {&request};

	return syscall(SYS_io_submit, ctx, 1, list) == 1;
}

void case_kernel_aio(void)
{
	struct timespec t = a_while;
	struct io_event event;
	unsigned long ctx = 0;
	struct to in;
	pthread_t u;
	int p[2];
	char c;

	if (syscall(SYS_io_setup, 4, &ctx))
		return;
	CHECK(pipe(p) == 0);
	CHECK(syscall(SYS_io_getevents, ctx, 1, 1, &event, &t) == 0);
	if (io_getevents)
		CHECK(io_getevents(ctx, 1, 1, &event, &t) == 0);
	in = (struct to){p[1], 1};
	if (submit(ctx, p[0])) {
		u = later(feed, &in);
		CHECK(syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL) == 1);
		join(u);
		CHECK(read(p[0], &c, 1) == 1);
	}
	CHECK(syscall(SYS_io_destroy, ctx) == 0);
	close(p[0]);
	close(p[1]);
}

static void *ring(int fd, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_POPULATE, fd, what);

	CHECK(p != MAP_FAILED);
	return p;
}

/* One request, that ends after a while, and one wait for its end. */
void case_io_uring(void)
{
	struct io_uring_params p = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	size_t size = p.sq_off.array + p.sq_entries * 4;
	struct io_uring_sqe *e;
	char *sq;

	if (fd < 0)
		return;
	sq = ring(fd, size, IORING_OFF_SQ_RING);
	e = ring(fd, p.sq_entries * sizeof(*e), IORING_OFF_SQES);
	memset(e, 0, sizeof(*e));
	e->opcode = IORING_OP_TIMEOUT;
	e->fd = -1;
	e->addr = (uintptr_t)&a_while;
	e->len = 1;
	*(unsigned *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS,
		      NULL, 0) == 1);
	munmap(e, p.sq_entries * sizeof(*e));
	munmap(sq, size);
	close(fd);
}

static void *waits(void *arg)
{
	moment();
	return arg;
}

static void *waits_long(void *gone)
{
	char c;

	CHECK(read(*(int *)gone, &c, 1) == 0);
	return gone;
}

void case_joins(void)
{
	struct timespec t;
	pthread_t u;
	int p[2];
	void *ret;

	u = later(waits, &t);
	CHECK(pthread_join(u, &ret) == 0 && ret == &t);
	CHECK(pipe(p) == 0);
	u = later(waits_long, &p[0]);
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += t.tv_nsec / (900 * MS);
	t.tv_nsec = t.tv_nsec % (900 * MS) + WAIT_MS * MS;
	CHECK(pthread_timedjoin_np(u, &ret, &t) == ETIMEDOUT);
	close(p[1]);
	join(u);
	close(p[0]);
}

static void *drain(void *arg)
{
	FILE *f = arg;
	size_t n = 0;

	moment();
	while (fgetc(f) != EOF)
		n++;
	CHECK(!ferror(f) && n == BIG);
	return NULL;
}

/* libc's buffers and pipes: it goes on where a write was short. */
void case_stdio(void)
{
	char *big = calloc(1, BIG), line[8];
	pthread_t t;
	FILE *f, *g;
	int p[2];

	CHECK(pipe2(p, O_CLOEXEC) == 0);
	f = fdopen(p[1], "w");
	g = fdopen(p[0], "r");
	t = later(drain, g);
	CHECK(fwrite(big, 1, BIG, f) == BIG);
	CHECK(fclose(f) == 0);
	join(t);
	fclose(g);
	free(big);
	f = popen("sleep 0.01; echo x; sleep 0.01; exit 3", "r");
	CHECK(fgets(line, sizeof(line), f) && !strcmp(line, "x\n"));
	CHECK(WEXITSTATUS(pclose(f)) == 3);
}

void case_spawned(void)
{
	char *const argv[] = {"sh", "-c", "sleep 0.01; exit 5", NULL};
	int status;
	pid_t pid;

	CHECK(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
}

static void *unlocks(void *fd)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	moment();
	CHECK(fcntl(*(int *)fd, F_OFD_SETLK, &l) == 0);
	return NULL;
}

void case_record_locks(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[] = "/tmp/park-XXXXXX";
	int a = mkstemp(name), b = open(name, O_RDWR);
	pthread_t t;

	CHECK(a >= 0 && b >= 0);
	unlink(name);
	CHECK(fcntl(a, F_OFD_SETLK, &l) == 0);
	t = later(unlocks, &a);
	CHECK(fcntl(b, F_OFD_SETLKW, &l) == 0);
	join(t);
	close(a);
	close(b);
}

static void *opens(void *name)
{
	int fd;

	moment();
	fd = open(name, O_WRONLY);
	CHECK(fd >= 0);
	close(fd);
	return NULL;
}

void case_fifo(void)
{
	char name[64];
	pthread_t t;
	char c;
	int fd;

	snprintf(name, sizeof(name), "/tmp/park-%d", (int)getpid());
	CHECK(mkfifo(name, 0600) == 0);
	t = later(opens, name);
	fd = open(name, O_RDONLY);
	CHECK(fd >= 0);
	CHECK(read(fd, &c, 1) == 0);
	join(t);
	close(fd);
	unlink(name);
}

void case_listio(void)
{
	int p[2];
	char c = 0;
	struct aiocb a = {.aio_lio_opcode = LIO_READ, .aio_buf = &c,
		.aio_nbytes = 1};
	struct aiocb *list[] = {&a};
	struct to in;
	pthread_t t;

	CHECK(pipe(p) == 0);
	in = (struct to){p[1], 1};
	a.aio_fildes = p[0];
	t = later(feed, &in);
	CHECK(lio_listio(LIO_WAIT, list, 1, NULL) == 0);
	CHECK(aio_return(&a) == 1);
	join(t);
	close(p[0]);
	close(p[1]);
}
