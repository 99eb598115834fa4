/* SPDX-License-Identifier: MIT */
/*
 * threadstate: what a thread waits for, in Go's words where Go has one.
 *
 *	/proc/self/task/TID/stat	TID (name) S ...
 *	/proc/self/task/TID/syscall	NR ARGS SP PC | -1 SP PC | running
 *
 * The letter says whether it waits, the number of the system call for what. A
 * thread in a page fault (-1) that waits for a disk is in "disk sleep" like one
 * that reads.
 *
 * Rejected: wchan. Names of the kernel's functions change with its versions,
 * and most are hidden from users.
 */
#include "observe/threadstate.h"
#include "os/procfile.h"

#include <string.h>
#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

const char *threadstate_of_syscall(long nr)
{
	switch (nr) {
	case SYS_read: case SYS_readv: case SYS_pread64: case SYS_preadv:
	case SYS_preadv2: case SYS_write: case SYS_writev: case SYS_pwrite64:
	case SYS_pwritev: case SYS_pwritev2: case SYS_recvfrom:
	case SYS_recvmsg: case SYS_recvmmsg: case SYS_sendto: case SYS_sendmsg:
	case SYS_sendmmsg: case SYS_sendfile: case SYS_splice: case SYS_tee:
	case SYS_vmsplice: case SYS_accept: case SYS_accept4: case SYS_connect:
	case SYS_io_getevents: case SYS_io_pgetevents: case SYS_io_uring_enter:
	case SYS_fsync: case SYS_fdatasync: case SYS_mq_timedreceive:
	case SYS_mq_timedsend: case SYS_msgrcv: case SYS_msgsnd:
		return "IO wait";
	case SYS_poll: case SYS_ppoll: case SYS_select: case SYS_pselect6:
	case SYS_epoll_wait: case SYS_epoll_pwait: case SYS_epoll_pwait2:
		return "select";
	case SYS_nanosleep: case SYS_clock_nanosleep:
		return "sleep";
	case SYS_futex: case SYS_futex_waitv:
		return "futex";
	case SYS_semop: case SYS_semtimedop:
		return "semacquire";
	case SYS_flock: case SYS_fcntl:
		return "file lock";
	case SYS_wait4: case SYS_waitid:
	case SYS_vfork: case SYS_clone: case SYS_clone3: /* with CLONE_VFORK */
		return "child wait";
	case SYS_pause: case SYS_rt_sigsuspend: case SYS_rt_sigtimedwait:
		return "signal wait";
	default:
		return "syscall";
	}
}

/* Blocked where? "NR ...", or not in a system call. */
static const char *waiting(int tid, const char *unless)
{
	char text[256];
	long nr = 0;

	if (!procfile_read_task(tid, "syscall", text, sizeof(text)))
		return unless; /* the kernel does not say */
	if (*text < '0' || *text > '9')
		return *text == 'r' ? "runnable" : unless;
	for (const char *s = text; *s >= '0' && *s <= '9'; s++)
		nr = nr * 10 + *s - '0';
	return threadstate_of_syscall(nr);
}

static const char *state_of(int tid, char letter)
{
	const char *state;

	switch (letter) {
	case 'R':
		return "running";
	case 'S':
		return waiting(tid, "waiting");
	case 'D':
		/* Disks, and vfork. */
		state = waiting(tid, "disk sleep");
		return strcmp(state, "child wait") ? "disk sleep" : state;
	case 'T': case 't':
		return "stopped";
	case 'Z': case 'X':
		return "dead";
	default:
		return "unknown";
	}
}

/* Names may hold any byte; in ours they stand between quotes and brackets. */
static void copy_name(struct threadstate *s, const char *from, size_t n)
{
	n = MIN(n, sizeof(s->name) - 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from[i];

		s->name[i] = c < ' ' || c == 0x7f || strchr("\"\\[]", c)
			? '?' : from[i];
	}
	s->name[n] = '\0';
}

void threadstate_read(struct threadstate *s, int tid)
{
	char text[512];
	const char *open, *close;

	*s = (struct threadstate){.tid = tid, .state = "unknown"};
	if (!procfile_read_task(tid, "stat", text, sizeof(text)))
		return;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open || !close[1])
		return;
	copy_name(s, open + 1, (size_t)(close - open) - 1);
	s->state = state_of(tid, close[2]);
}
