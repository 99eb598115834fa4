/* SPDX-License-Identifier: MIT */
/*
 * tasks: which threads there are, and how many CPUs they may use.
 *
 * The kernel's list is the only one that is complete: libc's is private and
 * lacks the threads that a program makes with clone by itself. It is read with
 * getdents64, since opendir() allocates.
 *
 * The walk is no snapshot. Who needs one (a stop of the world) walks until two
 * passes agree; statistics take what one pass gives.
 *
 * Locks: none.
 */
#include "os/tasks.h"
#include "base/atomics.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* What getdents64 returns; libc has it as struct dirent64, but with padding. */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static int hidden;
static bool quiet;
static unsigned ncpu = 1;
static uint64_t cpus[128]; /* 8192 CPUs, the kernel's maximum */

bool tasks_open(struct tasks *t)
{
	long fd = -ENOSYS;

	if (!load_relaxed(&quiet))
		fd = sys2(SYS_open, "/proc/self/task",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->fd = sys_failed(fd) ? -1 : (int)fd;
	t->pos = t->len = 0;
	return t->fd >= 0;
}

/* Decimal digits to a number; 0 for "." and "..". */
static int tid_of(const char *name)
{
	int tid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = tid * 10 + (*name - '0');
	return tid;
}

int tasks_next(struct tasks *t)
{
	while (t->fd >= 0) {
		const struct entry *e;
		int tid;

		if (t->pos == t->len) {
			long n = sys3(
				SYS_getdents64, t->fd, t->buf, sizeof(t->buf));

			if (sys_failed(n) || n == 0)
				return 0;
			t->pos = 0;
			t->len = (unsigned)n;
		}
		e = (const struct entry *)(t->buf + t->pos);
		t->pos += e->reclen;
		tid = tid_of(e->name);
		if (tid && tid != load_relaxed(&hidden))
			return tid;
	}
	return 0;
}

void tasks_close(struct tasks *t)
{
	if (t->fd >= 0)
		sys1(SYS_close, t->fd);
	t->fd = -1;
}

void tasks_quiet(void)
{
	store_relaxed(&quiet, true);
}

void tasks_hide(int tid)
{
	/* relaxed: a walk that just misses it counts one thread too many. */
	store_relaxed(&hidden, tid);
}

int tasks_hidden(void)
{
	return load_relaxed(&hidden);
}

unsigned tasks_total(void)
{
	struct stat st;

	/* A folder has a link from each subfolder's "..", and two more. */
	if (load_relaxed(&quiet) ||
		sys_failed(sys2(SYS_stat, "/proc/self/task", &st)) ||
		st.st_nlink < 2)
		return 0;
	return (unsigned)st.st_nlink - 2;
}

unsigned tasks_count(void)
{
	struct tasks t;
	unsigned n = 0;

	tasks_open(&t);
	while (tasks_next(&t))
		n++;
	tasks_close(&t);
	return MAX(n, 1);
}

/* At load: the program may bind itself to fewer CPUs later. */
__attribute__((constructor)) static void count_cpus(void)
{
	long n = sys3(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);
	unsigned count = 0;

	if (sys_failed(n))
		return;
	for (unsigned i = 0; i < NELEM(cpus); i++)
		count += (unsigned)__builtin_popcountll(cpus[i]);
	ncpu = MAX(count, 1);
}

void cpus_use_all(void)
{
	sys3(SYS_sched_setaffinity, 0, sizeof(cpus), cpus);
}

unsigned cpus_usable(void)
{
	return ncpu;
}
