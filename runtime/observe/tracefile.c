/* SPDX-License-Identifier: MIT */
/*
 * tracefile: a trace on its way out, carried by the helper's timer.
 *
 *	ring ──every 100 ms──▶ pending ──64 KiB──▶ temporary file ──▶ rename
 *	                                 └──when writable──▶ descriptor
 *
 * The temporary file is not kept open: it is opened for each piece, so that
 * there is no descriptor that the program could close or run into. A device
 * or a pipe can't be opened twice; there everything waits until the end.
 *
 * A descriptor given by the caller is recognised by its inode before each
 * write, since it may be closed, and its number used again, behind our back.
 * It is written to in pieces that a pipe takes without blocking (PIPE_BUF),
 * and only while poll() says that it has room. What a slow reader leaves
 * behind is kept up to PENDING_MAX; after that the ring fills up and drops.
 *
 * Invariants:
 *   I1  token is not 0 exactly while a trace of ours is being taken.
 *
 * Locks: tracefile.lock (LOCK_TRACEFILE), held while writing: the helper's
 * tick and whoever ends the trace.
 *
 * Rejected: a thread for the trace alone. It writes a few kilobytes a second.
 */
#include "observe/tracefile.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "observe/dumpfile.h"
#include "observe/helper.h"
#include "observe/trace.h"
#include "os/clock.h"
#include "os/ownfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum {
	PIECE = 64 << 10, /* bytes worth opening a file for */
	PENDING_MAX = 16 << 20,
	WAITING_MAX = 512 << 20, /* for what can only be written at the end */
	TRIES = 200, /* milliseconds that the helper may need with the lock */
};

static void tick(void *arg);

static struct {
	struct lock lock;
	uint32_t token;
	bool to_fd;
	bool over; /* the process ends: no more files */
	struct ownfd fd; /* the caller's (to_fd), or a device's or pipe's */
	struct dumpfile file; /* f.fd is in use at the end only */
	struct grow pending;
	int error;
	struct helper_timer timer;
} tracefile = {
	.lock = LOCK_INIT(LOCK_TRACEFILE),
	.timer = {.fn = tick},
};

/* Write bytes; 0 or an errno value. */
static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		long r = sys3(SYS_write, fd, p, n);

		if (r == -EINTR)
			continue;
		if (sys_failed(r))
			return (int)-r;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

/* Take n bytes from the front of what is pending. */
static void consume(size_t n)
{
	struct grow *g = &tracefile.pending;

	memmove(g->p, g->p + n, g->len - n);
	g->len -= n;
}

/* The temporary file again; error is set if that is impossible. */
static struct ownfd open_temp(void)
{
	struct ownfd fd;
	long ret;

	helper_fds_lock();
	ret = sys2(SYS_open, tracefile.file.temp,
		O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	fd = ownfd_adopt(ret);
	helper_fds_unlock();
	if (sys_failed(ret))
		tracefile.error = (int)-ret;
	return fd;
}

/* All that is pending, unless there has been an error. */
static void write_pending(const struct ownfd *fd)
{
	if (!tracefile.error && !ownfd_valid(fd))
		tracefile.error = EBADF;
	if (!tracefile.error)
		tracefile.error = write_all(fd->fd, tracefile.pending.p,
			tracefile.pending.len);
	tracefile.pending.len = 0;
}

static void append_to_file(void)
{
	struct ownfd fd = open_temp();

	write_pending(&fd);
	ownfd_close(&fd);
}

static bool has_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return sys3(SYS_poll, &p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* As much as goes out without waiting. */
static void write_to_fd(void)
{
	size_t done = 0;

	while (!tracefile.error && done < tracefile.pending.len &&
		has_room(tracefile.fd.fd)) {
		size_t n = MIN(tracefile.pending.len - done, (size_t)PIPE_BUF);

		if (!ownfd_valid(&tracefile.fd))
			tracefile.error = EBADF;
		else
			tracefile.error = write_all(tracefile.fd.fd,
				tracefile.pending.p + done, n);
		done += n;
	}
	consume(done);
}

/* Under lock. */
static void collect(void)
{
	struct fmt f;

	grow_fmt(&tracefile.pending, &f);
	trace_read(tracefile.token, &f);
	if (!grow_fmt_end(&tracefile.pending, &f))
		tracefile.error = ENOMEM;
}

static void tick(void *arg UNUSED)
{
	lock(&tracefile.lock);
	if (tracefile.token && !tracefile.error) {
		/* Beyond it the ring may drop: the reader is slow. */
		if (tracefile.pending.len < PENDING_MAX || !tracefile.to_fd)
			collect();
		if (tracefile.to_fd)
			write_to_fd();
		else if (tracefile.file.kind == DUMPFILE_RENAMED &&
			tracefile.pending.len >= PIECE)
			append_to_file();
	}
	if (tracefile.token)
		helper_timer_set(&tracefile.timer,
			clock_mono_ns() + TRACE_PERIOD_MS * 1000000);
	unlock(&tracefile.lock);
}

/* Under lock. Start recording into pending. */
static int begin(const struct trace_format *format)
{
	struct fmt f;
	int error;

	tracefile.error = 0;
	tracefile.pending = (struct grow)GROW_INIT(WAITING_MAX);
	grow_fmt(&tracefile.pending, &f);
	error = trace_start(format, &f, &tracefile.token);
	grow_fmt_end(&tracefile.pending, &f);
	if (error)
		tracefile.token = 0;
	return error;
}

/* The template with the folder of now before it, if it is relative. */
static bool absolute(const char *template, char *out, size_t cap)
{
	char here[DUMPFILE_PATH_MAX];
	struct fmt f;

	fmt_init(&f, out, cap, -1);
	if (template[0] != '/') {
		if (sys_failed(sys2(SYS_getcwd, here, sizeof(here))) ||
			here[0] != '/')
			return false;
		for (const char *p = here; *p; p++)
			fmt_str(&f, *p == '%' ? "%%" : (char[]){*p, '\0'});
		fmt_char(&f, '/');
	}
	fmt_str(&f, template);
	fmt_cstr(&f);
	return !f.truncated;
}

static bool ends_in_json(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && !strcmp(path + n - 5, ".json");
}

/* Create the temporary file, and let go of it again. Under lock. */
static bool create_file(
	const char *template, const char *suffix, uint64_t number)
{
	char path[DUMPFILE_PATH_MAX];
	struct dumpfile *d = &tracefile.file;
	bool opened;

	if (!absolute(template, path, sizeof(path))) {
		warn("trace: %s: no such path", template);
		return false;
	}
	helper_fds_lock();
	opened = dumpfile_open(d, "trace", path, suffix, number, NULL, 0);
	if (opened) {
		tracefile.fd = ownfd_adopt(d->f.fd);
		if (d->kind == DUMPFILE_RENAMED)
			ownfd_close(&tracefile.fd);
		d->f.fd = -1;
	}
	helper_fds_unlock();
	return opened;
}

/* Under lock. */
static void discard_file(void)
{
	if (tracefile.file.kind == DUMPFILE_RENAMED)
		sys1(SYS_unlink, tracefile.file.temp);
	ownfd_close(&tracefile.fd);
}

bool tracefile_running(void)
{
	return load_relaxed(&tracefile.token) != 0;
}

const char *tracefile_path(void)
{
	return tracefile.file.path;
}

bool tracefile_start(const char *template)
{
	return tracefile_start_as(template, "", 0);
}

bool tracefile_start_as(
	const char *template, const char *suffix, uint64_t number)
{
	int error = EBUSY;

	lock(&tracefile.lock);
	if (tracefile.over) {
		unlock(&tracefile.lock);
		return false;
	}
	if (!tracefile.token) {
		if (!create_file(template, suffix, number)) {
			unlock(&tracefile.lock);
			return false;
		}
		tracefile.to_fd = false;
		error = begin(ends_in_json(tracefile.file.path)
				? &trace_format_perfetto
				: &trace_format_go);
		if (error)
			discard_file();
	}
	unlock(&tracefile.lock);
	if (!error && !helper_start()) {
		tracefile_stop();
		error = EAGAIN;
	}
	if (error)
		warn("trace: %s: %s", template,
			error == EBUSY	  ? "another trace is being taken"
			: error == EAGAIN ? "cannot start a thread"
					  : "out of memory");
	else
		tick(NULL);
	return !error;
}

int tracefile_start_fd(int fd)
{
	int error = EBUSY;

	lock(&tracefile.lock);
	if (!tracefile.token) {
		tracefile.to_fd = true;
		tracefile.fd = ownfd_identify(fd);
		error = tracefile.fd.fd < 0 ? EBADF : begin(&trace_format_go);
	}
	unlock(&tracefile.lock);
	if (error)
		return error;
	if (!helper_start()) {
		tracefile_stop();
		return EAGAIN;
	}
	tick(NULL);
	return 0;
}

/* Under lock. */
static bool finish_file(void)
{
	struct dumpfile *d = &tracefile.file;

	if (d->kind == DUMPFILE_RENAMED)
		tracefile.fd = open_temp();
	write_pending(&tracefile.fd);
	d->f.fd = ownfd_valid(&tracefile.fd) ? tracefile.fd.fd : -1;
	d->f.error = tracefile.error;
	return dumpfile_commit(d);
}

/* Under lock. */
static bool finish_fd(void)
{
	write_pending(&tracefile.fd);
	return !tracefile.error;
}

/* Under lock. */
static bool stop(void)
{
	bool written;
	struct fmt f;

	if (!tracefile.token)
		return true;
	grow_fmt(&tracefile.pending, &f);
	if (trace_stop(tracefile.token, &f) && !tracefile.error)
		tracefile.error = ENOMEM;
	if (!grow_fmt_end(&tracefile.pending, &f))
		tracefile.error = ENOMEM;
	written = tracefile.to_fd ? finish_fd() : finish_file();
	grow_free(&tracefile.pending);
	tracefile.token = 0;
	return written;
}

AT_START bool tracefile_stop(void)
{
	bool written;

	lock(&tracefile.lock);
	written = stop();
	unlock(&tracefile.lock);
	helper_timer_cancel(&tracefile.timer);
	return written;
}

AT_START void tracefile_end(void)
{
	lock(&tracefile.lock);
	tracefile.over = true;
	unlock(&tracefile.lock);
	tracefile_stop();
}

void tracefile_end_now(void)
{
	struct timespec ms = {0, 1000000};
	unsigned i = 0;

	if (!tracefile_running())
		return;
	while (!trylock(&tracefile.lock)) {
		if (i++ == TRIES)
			return;
		sys2(SYS_nanosleep, &ms, NULL);
	}
	tracefile.over = true;
	stop();
	unlock(&tracefile.lock);
}

void tracefile_prefork(void)
{
	lock(&tracefile.lock);
	trace_prefork();
}

void tracefile_parent(void)
{
	trace_parent();
	unlock(&tracefile.lock);
}

void tracefile_child(void)
{
	trace_child();
	lock_reinit(&tracefile.lock);
	if (!tracefile.token)
		return;
	tracefile.token = 0;
	grow_free(&tracefile.pending);
	if (!tracefile.to_fd)
		ownfd_close(&tracefile.fd);
}
