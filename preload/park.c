/* SPDX-License-Identifier: MIT */
/*
 * park: the calls of libc that wait, so that a stop of the world need not
 * disturb who is inside one (gc/park.c says how). Nothing of what they do
 * changes: the next definition is called with the same arguments, its result
 * and errno come back, cancellation and exceptions pass through.
 *
 *	parkcalls.def --> a pointer for each, filled in by the constructor
 *	              --> the function of that name
 *
 * Without this, a program would see EINTR from poll() and short counts from
 * write() at each stop, and a thousand idle threads would take 7 ms to stop.
 *
 * Not wrapped, since no signal shows there and few wait long: open, fcntl,
 * ioctl, tcdrain, locks. What waits inside libc, and system calls made without
 * libc, cannot be wrapped; those made by syscall() are (in Rust programs all
 * threads wait that way).
 *
 * Where another library stands between us and libc, its functions may do
 * anything, allocate for instance. Then nothing is parked.
 *
 * Rejected: one wrapper written in assembly for all (the kernel's arguments
 * would have to be kept somewhere, and unwinders want to know the frame).
 */
#include "gc/park.h"
#include "base/options.h"
#include "preload/interpose.h"

#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

struct calls {
#define CALL(type, name, params, args, ...) type(*name) params;
#include "preload/parkcalls.def"
#undef CALL
};

static union {
	struct calls f;
	void *all[sizeof(struct calls) / sizeof(void *)];
} next;

/* One after the other, in the same order. */
static const char names[] =
#define CALL(type, name, params, args, ...) #name "\0"
#include "preload/parkcalls.def"
#undef CALL
	;

/* Constructors of auditors may call before calls_init(). */
static COLD void resolve(void)
{
	const char *name = names;

	for (unsigned i = 0; i < NELEM(next.all); i++) {
		next.all[i] = dl_next(name);
		name += strlen(name) + 1;
	}
}

static bool all_in_libc(void)
{
	for (unsigned i = 0; i < NELEM(next.all); i++)
		if (!next.all[i] || !dl_in_libc(next.all[i]))
			return false;
	return true;
}

void calls_init(void)
{
	resolve();
	/* Who stops threads: cycles, and who asks for their stacks. */
	if ((options->gc != GC_OFF || options->socket) && all_in_libc())
		park_enable();
}

#define CALL(type, name, params, args, ...)                                    \
	API type name params;                                                  \
	API type name params                                                   \
	{                                                                      \
		const volatile void *kept[] = {__VA_ARGS__};                   \
		struct park *self;                                             \
		type ret;                                                      \
                                                                               \
		if (unlikely(!next.f.name))                                    \
			resolve();                                             \
		self = PARK_ENTER(kept);                                       \
		ret = next.f.name args;                                        \
		park_leave(self);                                              \
		/* They have stayed where they are until here. */              \
		__asm__ volatile("" : : "m"(kept));                            \
		return ret;                                                    \
	}
#include "preload/parkcalls.def"
#undef CALL

/* Names that libc has beside those. */
ssize_t __read(int fd, void *buf, size_t n);
ssize_t __write(int fd, const void *buf, size_t n);
ssize_t __pread64(int fd, void *buf, size_t n, off64_t at);
ssize_t __pwrite64(int fd, const void *buf, size_t n, off64_t at);
int __poll(struct pollfd *fds, nfds_t n, int ms);
int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t);
int __nanosleep(const struct timespec *t, struct timespec *left);
int __connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len);
ssize_t __send(int fd, const void *buf, size_t n, int flags);
int __sigsuspend(const sigset_t *mask);
pid_t __wait(int *status);
pid_t __waitpid(pid_t pid, int *status, int flags);

API SAME_AS(read) ssize_t __read(int fd, void *buf, size_t n);
API SAME_AS(write) ssize_t __write(int fd, const void *buf, size_t n);
API SAME_AS(pread64)
ssize_t __pread64(int fd, void *buf, size_t n, off64_t at);
API SAME_AS(pwrite64)
ssize_t __pwrite64(int fd, const void *buf, size_t n, off64_t at);
API SAME_AS(poll) int __poll(struct pollfd *fds, nfds_t n, int ms);
API SAME_AS(select)
int __select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t);
API SAME_AS(nanosleep)
int __nanosleep(const struct timespec *t, struct timespec *left);
API SAME_AS(connect)
int __connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len);
API SAME_AS(send) ssize_t __send(int fd, const void *buf, size_t n, int flags);
API SAME_AS(sigsuspend) int __sigsuspend(const sigset_t *mask);
API SAME_AS(wait) pid_t __wait(int *status);
API SAME_AS(waitpid) pid_t __waitpid(pid_t pid, int *status, int flags);

/* syscall() comes here with numbers of calls that wait (rawcall.c). */
HIDDEN long park_syscall(long n, long a, long b, long c, long d, long e, long f);

long park_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	typedef long call(long, long, long, long, long, long, long);
	const long kept[] = {a, b, c, d, e, f};
	struct park *self = PARK_ENTER(kept);
	long ret = ((call *)limits_real.syscall)(n, a, b, c, d, e, f);

	park_leave(self);
	__asm__ volatile("" : : "m"(kept));
	return ret;
}
