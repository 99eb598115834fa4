/* SPDX-License-Identifier: MIT */
/*
 * ownfd: descriptors that the program should neither see nor miss.
 *
 * open() and socket() return the lowest free number, and programs rely on it:
 * close(0) and open() make a new standard input. So each descriptor of ours
 * is moved out of the way at once, to 512 or higher where the limit permits.
 * What remains is the moment between the two system calls, in which another
 * thread of the program may be given a number one higher than it would have
 * been.
 *
 * Programs also close what they did not open (daemons: all from 3 upwards).
 * Then our number is free for a file of theirs. The identity that fstat gives
 * tells: sockets and pipes have an inode of their own each. (eventfd, epoll
 * and timerfd share one inode between all of them, so they can't be told
 * apart, and are not used.)
 *
 * Locks: none.
 *
 * Rejected for those that are kept: a descriptor table of our own, by
 * unshare(CLONE_FILES) in the helper thread (which has one when it writes
 * nothing, see helper.c). Numbers would never meet, but what that thread writes
 * to "stderr" would go to the stderr of the moment of the unshare, which the
 * program may have redirected since; and the copies would keep pipes open
 * whose end of file somebody waits for.
 */
#include "os/ownfd.h"
#include "os/syscall.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { HIGH = 512 };

/* Duplicate to a high number, or at least to three quarters of the limit. */
static long move_up(long fd)
{
	long high = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH);
	struct rlimit r;

	if (sys_failed(high) && !sys_failed(sys2(SYS_getrlimit, RLIMIT_NOFILE,
					&r)) && r.rlim_cur <= HIGH)
		high = sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
			r.rlim_cur / 4 * 3);
	return high;
}

static bool identify(int fd, uint64_t *dev, uint64_t *ino)
{
	struct stat st;

	if (sys_failed(sys2(SYS_fstat, fd, &st)))
		return false;
	*dev = st.st_dev;
	*ino = st.st_ino;
	return true;
}

struct ownfd ownfd_adopt(long fd)
{
	struct ownfd o = OWNFD_NONE;
	long high;

	if (sys_failed(fd))
		return o;
	high = fd < HIGH ? move_up(fd) : fd;
	if (sys_failed(high)) {
		/* The table is full up there: stay where we are. */
		sys3(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
		high = fd;
	} else if (high != fd) {
		sys1(SYS_close, fd);
	}
	if (identify((int)high, &o.dev, &o.ino))
		o.fd = (int)high;
	return o;
}

struct ownfd ownfd_identify(int fd)
{
	struct ownfd o = OWNFD_NONE;

	if (fd >= 0 && identify(fd, &o.dev, &o.ino))
		o.fd = fd;
	return o;
}

bool ownfd_valid(const struct ownfd *o)
{
	uint64_t dev, ino;

	return o->fd >= 0 && identify(o->fd, &dev, &ino) && dev == o->dev &&
		ino == o->ino;
}

void ownfd_close(struct ownfd *o)
{
	if (ownfd_valid(o))
		sys1(SYS_close, o->fd);
	o->fd = -1;
}
