/* SPDX-License-Identifier: MIT */
/*
 * A request to io_uring is known to the kernel alone; but its entry in the ring
 * keeps the data until it is used again.
 *
 * truth: keep | clean modes=exit,find,stw
 * truth: keep | 1/4242 modes=strict
 * truth: drop | 1/4242
 */
#include "truth.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>

static void *ring(int fd, size_t size, off_t what)
{
	void *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, what);

	MUST(p != MAP_FAILED);
	return p;
}

int main(int argc, char **argv)
{
	struct io_uring_params p = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 8, &p), pipes[2];
	struct io_uring_sqe *e;
	char *sq;

	if (fd < 0)
		return SKIP;
	MUST(!pipe(pipes));
	sq = ring(fd, p.sq_off.array + p.sq_entries * 4, IORING_OFF_SQ_RING);
	e = ring(fd, p.sq_entries * sizeof(*e), IORING_OFF_SQES);
	memset(e, 0, sizeof(*e));
	e->opcode = IORING_OP_POLL_ADD;
	e->fd = pipes[0];
	e->poll_events = POLLIN;
	put(&e->user_data, make(MARKER), 0);
	*(unsigned *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	MUST(syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) == 1);
	if (said(argc, argv, "drop"))
		memset(e, 0, sizeof(*e));
	clobber();
	now();
	return 0;
}
