/* SPDX-License-Identifier: MIT */
/*
 * httpd: the server on the helper's poll loop.
 *
 *	listener ──accept──▶ peer's uid ──▶ struct conn ──▶ routes
 *	    ▲                                 (64 at most)
 *	    └── made again if the program has closed it
 *
 * With 64 connections the listener is not polled: further clients wait in the
 * kernel's queue until one is done, and every connection has a deadline.
 *
 * Who may ask: the peer's uid must be ours (the effective one, of this moment:
 * a daemon may have dropped root) or root's. The modes of folder and socket
 * say the same, but a socket may be in a folder that the user has opened to
 * others, and descriptors can be passed on.
 *
 * The program may close our descriptors, on purpose or by closing all. Each is
 * recognised by its inode before it is used (ownfd.h). Connections that were
 * closed are forgotten; the listener is made again under the same name, within
 * the helper's longest sleep.
 *
 * fork: the child has the descriptors but not the thread. It closes what is
 * ours in it, forgets the name (which is the parent's) and starts again only
 * if its own name is another.
 *
 * Invariants:
 *   I1  conns[0, n) are set, the rest is NULL;
 *   I2  the name is removed only by the process that made it (owner).
 *
 * Locks: helper_fds_lock() for conns, n and the listener, written by the
 * helper alone; start and stop are serialised by the helper's own lock and by
 * being work for it.
 *
 * Rejected: a thread for each connection (threads are what a guest should not
 * make), SO_PASSCRED (peers could change who they are between messages).
 */
#include "observe/httpd.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "observe/conn.h"
#include "observe/helper.h"
#include "observe/sockpath.h"
#include "os/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Without descriptors or memory, accept is tried again after this. */
enum { REST_NS = 500000000 };

static struct httpd {
	const char *template;
	bool serving; /* relaxed: others only ask for the path */
	int owner; /* the process that made the name */
	int64_t rest_until_ns;

	/* Under helper_fds_lock(). */
	struct sockpath socket;
	struct conn *conns[HTTPD_CONNECTIONS];
	unsigned n;
} httpd = {.socket.listener = OWNFD_NONE};

void httpd_init(char **envp)
{
	sockpath_init(envp);
}

static bool allowed(const struct ownfd *fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);

	if (sys_failed(sys6(SYS_getsockopt, fd->fd, SOL_SOCKET, SO_PEERCRED,
		    (long)&peer, (long)&len, 0)))
		return false;
	return peer.uid == 0 || peer.uid == (uid_t)sys0(SYS_geteuid);
}

/* Under helper_fds_lock(). False when there is nobody, or no room. */
static bool accept_one(void)
{
	struct ownfd fd;
	struct conn *c;
	long ret;

	if (httpd.n == HTTPD_CONNECTIONS ||
		!ownfd_valid(&httpd.socket.listener))
		return false;
	ret = sys4(SYS_accept4, httpd.socket.listener.fd, NULL, NULL,
		SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (ret == -EINTR || ret == -ECONNABORTED)
		return true;
	fd = ownfd_adopt(ret);
	c = fd.fd < 0 ? NULL : conn_new(fd, allowed(&fd));
	if (c)
		httpd.conns[httpd.n++] = c;
	else if (ret != -EAGAIN)
		httpd.rest_until_ns = clock_mono_ns() + REST_NS;
	return c != NULL;
}

static void accept_all(void)
{
	bool more = true;

	while (more) {
		helper_fds_lock();
		more = accept_one();
		helper_fds_unlock();
	}
}

/* The listener, made anew if the program has closed it. */
static void keep_listening(void)
{
	if (ownfd_valid(&httpd.socket.listener))
		return;
	helper_fds_lock();
	store_relaxed(&httpd.serving, sockpath_listen_again(&httpd.socket));
	helper_fds_unlock();
}

static unsigned fill(struct pollfd *p, unsigned max UNUSED, int64_t *deadline)
{
	unsigned n = 0;

	_Static_assert(HTTPD_CONNECTIONS + 1 <= HELPER_NPOLL, "poll entries");
	if (load_relaxed(&httpd.serving))
		keep_listening();
	for (; n < httpd.n; n++)
		p[n] = conn_poll(httpd.conns[n], deadline);
	if (!load_relaxed(&httpd.serving) || n == HTTPD_CONNECTIONS)
		return n;
	if (clock_mono_ns() < httpd.rest_until_ns) {
		*deadline = MIN(*deadline, httpd.rest_until_ns);
		return n;
	}
	p[n] = (struct pollfd){.fd = httpd.socket.listener.fd,
		.events = POLLIN};
	return n + 1;
}

static void finish(unsigned i)
{
	struct conn *c = httpd.conns[i];

	conn_end(c);
	helper_fds_lock();
	httpd.conns[i] = httpd.conns[--httpd.n];
	httpd.conns[httpd.n] = NULL;
	conn_free(c);
	helper_fds_unlock();
}

static void ready(const struct pollfd *p, unsigned n)
{
	unsigned nconns = httpd.n;

	/* Downwards: finish() fills a gap with one that has had its turn. */
	for (unsigned i = nconns; i--;)
		if (!conn_run(httpd.conns[i], p[i].revents))
			finish(i);
	if (n > nconns && p[nconns].revents)
		accept_all();
}

static const struct helper_poller poller = {fill, ready};

/* Under helper_fds_lock(). */
static void close_all(void (*give_back)(struct conn *))
{
	while (httpd.n) {
		struct conn *c = httpd.conns[--httpd.n];

		httpd.conns[httpd.n] = NULL;
		give_back(c);
	}
	ownfd_close(&httpd.socket.listener);
}

bool httpd_start(const char *template)
{
	bool listens;

	if (load_relaxed(&httpd.serving))
		return true;
	httpd.template = template;
	httpd.owner = (int)sys0(SYS_getpid);
	httpd.rest_until_ns = 0;
	helper_fds_lock();
	listens = sockpath_listen(&httpd.socket, template);
	helper_fds_unlock();
	if (!listens)
		return false;
	store_relaxed(&httpd.serving, true);
	if (helper_start()) {
		helper_set_poller(&poller);
		return true;
	}
	warn("socket: %s: cannot start a thread", httpd.socket.path);
	httpd_stop();
	return false;
}

void httpd_stop(void)
{
	bool helped = helper_tid() != 0;

	if (!load_relaxed(&httpd.serving))
		return;
	helper_stop();
	helper_set_poller(NULL);
	store_relaxed(&httpd.serving, false);
	for (unsigned i = 0; i < httpd.n; i++)
		routes_end(&httpd.conns[i]->x);
	helper_fds_lock();
	sockpath_unlink(&httpd.socket);
	close_all(conn_free);
	helper_fds_unlock();
	if (helped)
		helper_start();
}

void httpd_exit(void)
{
	if (load_relaxed(&httpd.serving) && httpd.owner == (int)sys0(SYS_getpid)) /* I2 */
		sockpath_unlink(&httpd.socket);
}

const char *httpd_path(void)
{
	return load_relaxed(&httpd.serving) ? httpd.socket.path : NULL;
}

bool httpd_child(void)
{
	bool served = load_relaxed(&httpd.serving);

	store_relaxed(&httpd.serving, false);
	httpd.socket.ino = 0; /* the parent's */
	helper_fds_lock();
	close_all(conn_forget);
	helper_fds_unlock();
	return served && sockpath_is_per_process(httpd.template);
}

const char *httpd_template(void)
{
	return httpd.template;
}
