/* SPDX-License-Identifier: MIT */
/*
 * kernelptr: addresses that only the kernel has.
 *
 *	epoll_ctl      data of every entry     /proc/self/fdinfo/EPFD, before
 *	                                       the stop; plus what is added from
 *	                                       then on
 *	timer_create   sigev_value             /proc/self/timers, in the stop
 *	sigqueue       value, while pending    noted when sent; still pending?
 *	mq_notify      sigev_value             noted, by queue
 *	sigaltstack    the stack               with the thread (stw.h)
 *	io_submit      request and its data    noted, until its event comes; the
 *	                                       ring with those that have come
 *	io_uring       user_data               the rings, while they hold it
 *	                                       (roots_shared.c)
 *
 * Where the kernel answers, it is asked: it knows about entries that came by
 * fork, descriptor passing or a system call that nobody wraps, and about those
 * that ended with a close(). Reading 10,000 epoll entries takes milliseconds,
 * so they are read before the stop; entries that are added between this and the
 * stop go to a log. Those that are taken away meanwhile keep their objects for
 * one cycle more.
 *
 *	program's thread	collector
 *	epoll_ctl		recording = true
 *	recording? log it	read fdinfo
 *				stop the world; read the log
 *
 * If the thread finds recording false, its entry was there before fdinfo was
 * read. If it is stopped between its two steps, the value is on its stack.
 *
 * A queued signal's value can't be asked for. It is noted before it is sent,
 * and forgotten when a cycle finds that no such signal is pending.
 *
 * Helpers of libc (SIGEV_THREAD, POSIX aio) keep their requests in the heap and
 * in lists of their own, which are found like everything else.
 *
 * Not found: of io_uring, the user data of a request that is still on its way
 * when its entry in the ring has been used again, as that of an accept while
 * others come and go; liburing makes its calls itself, and fdinfo does not tell.
 * Where there is a ring nothing is reclaimed. Nor is found what is given to the
 * kernel by instructions of the program's own, where it can't be asked (queued
 * signals, mq_notify, io_submit); timers where /proc/self/timers is missing
 * (kernels without CONFIG_CHECKPOINT_RESTORE).
 *
 * Rejected: a table of all epoll entries, kept up in epoll_ctl. It costs every
 * connection of every server a hash table's insertion and removal, and does not
 * see a close().
 */
#include "gc/kernelptr.h"
#include "base/atomics.h"
#include "base/fmt.h"
#include "gc/roots_parts.h"
#include "os/proclines.h"
#include "os/syscall.h"

#include <fcntl.h>
#include <string.h>

enum {
	LOG = 4096,	/* epoll entries added while a cycle gets ready */
	SIGNALS = 1024, /* values that may be pending */
	QUEUES = 64,	/* message queues, by descriptor */
	REQUESTS = 4096, /* of io_submit, on their way */
	PROBES = 16,
	BUF = 2048,
};

static struct kernelptr {
	bool recording;
	uint32_t nlog; /* goes on counting when the log is full */
	struct entry {
		int epfd, fd;
		uint64_t data;
	} log[LOG];
	uint32_t nsignals; /* ever; 0: nobody sends values */
	struct pending {
		uintptr_t value; /* 0: none */
		int signo, tid;
	} signal[SIGNALS];
	uintptr_t mq[QUEUES];
	uint32_t nrequests; /* ever; 0: nobody submits any */
	struct request {
		uintptr_t at; /* 0: none */
		uint64_t data, ctx;
	} request[REQUESTS];
} kernelptr;

/* -------- on the way in -------- */

void kernelptr_epoll(int epfd, int fd, uint64_t data)
{
	struct kernelptr *k = &kernelptr;
	uint32_t i;

	/* relaxed: a system call lies before it, see above. */
	if (likely(!load_relaxed(&k->recording)))
		return;
	i = add_relaxed(&k->nlog, 1);
	if (i < LOG)
		k->log[i] = (struct entry){epfd, fd, data};
}

void kernelptr_signal(int signo, int tid, uintptr_t value)
{
	struct kernelptr *k = &kernelptr;
	struct pending *p;

	if (!roots_may_be_address(value))
		return;
	p = &k->signal[add_relaxed(&k->nsignals, 1) % SIGNALS];
	p->signo = signo;
	p->tid = tid;
	store_relaxed(&p->value, value);
}

void kernelptr_mq(int mq, uintptr_t value)
{
	store_relaxed(&kernelptr.mq[(unsigned)mq % QUEUES], value);
}

/* The ith place where a request may be noted. */
static struct request *place(uintptr_t request, size_t i)
{
	uint64_t hash = request * UINT64_C(0x9e3779b97f4a7c15) >> 40;

	return &kernelptr.request[(hash + i) % REQUESTS];
}

/* Where there is no room the first one gives way. */
void kernelptr_aio(uint64_t ctx, uintptr_t request, uint64_t data)
{
	struct request *r = place(request, 0);

	if (!request)
		return;
	add_relaxed(&kernelptr.nrequests, 1);
	for (size_t i = 0; i < PROBES; i++) {
		struct request *here = place(request, i);
		uintptr_t free = 0;

		if (cas_relaxed(&here->at, &free, request) || free == request) {
			r = here;
			break;
		}
	}
	store_relaxed(&r->ctx, ctx);
	store_relaxed(&r->data, data);
	store_relaxed(&r->at, request);
}

void kernelptr_aio_done(uintptr_t request)
{
	/* relaxed: who fetches an event is told so by the kernel. */
	if (!load_relaxed(&kernelptr.nrequests) || !request)
		return;
	for (size_t i = 0; i < PROBES; i++)
		if (load_relaxed(&place(request, i)->at) == request)
			store_relaxed(&place(request, i)->at, 0);
}

void kernelptr_aio_gone(uint64_t ctx)
{
	struct request *r = kernelptr.request;

	if (!load_relaxed(&kernelptr.nrequests))
		return;
	for (size_t i = 0; i < REQUESTS; i++)
		if (load_relaxed(&r[i].at) && load_relaxed(&r[i].ctx) == ctx)
			store_relaxed(&r[i].at, 0);
}

static void read_requests(struct rootset *rs)
{
	const struct request *r = kernelptr.request;
	size_t n = kernelptr.nrequests ? REQUESTS : 0;

	for (size_t i = 0; i < n; i++) {
		if (!r[i].at)
			continue;
		rootset_add_word(rs, r[i].at, ROOT_KERNEL, 0,
			rootset_add_name(rs, "io_submit", 9));
		if (roots_may_be_address(r[i].data))
			rootset_add_word(rs, r[i].data, ROOT_KERNEL, 0,
				rootset_add_name(rs, "io_submit", 9));
	}
}

/* -------- epoll -------- */

static void add_epoll(struct rootset *rs, int epfd, int fd, uint64_t data)
{
	char text[32];
	struct fmt f;

	if (!roots_may_be_address(data))
		return;
	fmt_init(&f, text, sizeof(text), -1);
	fmt_printf(&f, "epoll %d:%d", epfd, fd);
	rootset_add_word(
		rs, data, ROOT_KERNEL, 0, rootset_add_name(rs, text, f.len));
}

static const char *number(const char *s, unsigned base, uint64_t *v)
{
	s += strspn(s, " \t");
	for (*v = 0;; s++) {
		unsigned digit = base;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned)(*s - '0');
		else if (*s >= 'a' && *s <= 'f')
			digit = (unsigned)(*s - 'a' + 10);
		if (digit >= base)
			return s;
		*v = *v * base + digit;
	}
}

/* tfd:        7 events:       19 data:     7f34c0a01230  pos:0 ino:... */
static void read_epoll(struct rootset *rs, int epfd)
{
	struct proclines l;
	char path[64], *line, *data;
	struct fmt f;
	uint64_t fd, value;

	fmt_init(&f, path, sizeof(path), -1);
	fmt_printf(&f, "/proc/self/fdinfo/%d", epfd);
	proclines_open(&l, fmt_cstr(&f));
	while ((line = proclines_next(&l))) {
		data = strstr(line, "data:");
		if (strncmp(line, "tfd:", 4) || !data)
			continue;
		number(line + 4, 10, &fd);
		number(data + 5, 16, &value);
		add_epoll(rs, epfd, (int)fd, value);
	}
	proclines_close(&l);
}

static bool is_epoll(int dir, const char *name)
{
	static const char want[] = "anon_inode:[eventpoll]";
	char text[sizeof(want)];
	long n = sys4(SYS_readlinkat, dir, name, text, sizeof(text));

	return n == sizeof(want) - 1 && !memcmp(text, want, (size_t)n);
}

/* What getdents64 returns. */
struct dirent_at {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static void read_epolls(struct rootset *rs)
{
	char buf[BUF] __attribute__((aligned(8)));
	long dir = sys2(
		SYS_open, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;
	uint64_t fd;

	if (sys_failed(dir))
		return;
	while ((n = sys3(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n;) {
			const struct dirent_at *e = (const void *)(buf + at);

			at += e->reclen;
			if (e->name[0] == '.' || !is_epoll((int)dir, e->name))
				continue;
			number(e->name, 10, &fd);
			read_epoll(rs, (int)fd);
		}
	sys1(SYS_close, dir);
}

static void read_log(struct rootset *rs)
{
	const struct kernelptr *k = &kernelptr;

	if (k->nlog > LOG) {
		read_epolls(rs); /* the pause gets longer, but it's right */
		return;
	}
	for (uint32_t i = 0; i < k->nlog; i++)
		add_epoll(rs, k->log[i].epfd, k->log[i].fd, k->log[i].data);
}

/* -------- timers -------- */

/* signal: 34/00007f34c0a01230 */
static void read_timers(struct rootset *rs)
{
	struct proclines l;
	const char *line, *s;
	uint64_t value;

	proclines_open(&l, "/proc/self/timers");
	while ((line = proclines_next(&l))) {
		s = strchr(line, '/');
		if (strncmp(line, "signal:", 7) || !s)
			continue;
		number(s + 1, 16, &value);
		if (roots_may_be_address(value))
			rootset_add_word(rs, value, ROOT_KERNEL, 0,
				rootset_add_name(rs, "timer", 5));
	}
	proclines_close(&l);
}

/* -------- signals -------- */

/* The set after "field:" in a status file, or 0. */
static uint64_t status_set(const char *path, const char *field)
{
	struct proclines l;
	const char *line;
	uint64_t set = 0;
	size_t n = strlen(field);

	proclines_open(&l, path); /* fails where the thread has ended */
	while ((line = proclines_next(&l)))
		if (!strncmp(line, field, n))
			number(line + n, 16, &set);
	proclines_close(&l);
	return set;
}

static bool is_pending(const struct pending *p, uint64_t shared)
{
	char path[64];
	struct fmt f;

	if (p->tid) {
		fmt_init(&f, path, sizeof(path), -1);
		fmt_printf(&f, "/proc/self/task/%d/status", p->tid);
		shared = status_set(fmt_cstr(&f), "SigPnd:");
	}
	return shared >> ((unsigned)p->signo - 1) % 64 & 1;
}

static void read_signals(struct rootset *rs)
{
	struct kernelptr *k = &kernelptr;
	uint64_t shared = 0;
	bool asked = false;

	for (size_t i = 0; i < MIN(k->nsignals, (uint32_t)SIGNALS); i++) {
		struct pending *p = &k->signal[i];

		if (!p->value)
			continue;
		if (!asked)
			shared = status_set("/proc/self/status", "ShdPnd:");
		asked = true;
		if (is_pending(p, shared))
			rootset_add_word(rs, p->value, ROOT_KERNEL, 0,
				rootset_add_name(rs, "queued signal", 13));
		else
			p->value = 0;
	}
}

/* -------- all of them -------- */

void kernelptr_list(struct rootset *rs)
{
	kernelptr.nlog = 0;
	/* seq_cst: before fdinfo is read, see above. */
	__atomic_store_n(&kernelptr.recording, true, __ATOMIC_SEQ_CST);
	read_epolls(rs);
}

void kernelptr_freeze(struct rootset *rs)
{
	store_relaxed(&kernelptr.recording, false);
	read_log(rs);
	read_timers(rs);
	read_signals(rs);
	read_requests(rs);
	for (unsigned i = 0; i < QUEUES; i++)
		rootset_add_word(rs, kernelptr.mq[i], ROOT_KERNEL, 0, 0);
}
