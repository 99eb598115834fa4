/* SPDX-License-Identifier: MIT */
/*
 * conn: one client, step by step.
 *
 *	accept ──▶ READING ──▶ WAITING ──▶ WRITING ──▶ LINGERING ──▶ close
 *	              │  whole     ▲ │ route    ▲
 *	              │  request   └─┘ says     │
 *	              └──────── refused ────────┘ wait
 *
 * Everything is non-blocking, and every state but WAITING has a deadline, so
 * a client that is slow, silent or gone costs a page or two for some seconds
 * and nothing else. One request is answered; there is no keep-alive.
 *
 * Half-closed clients (they send and shut down their side, as nc does) get
 * their answer: the end of their bytes matters only while READING. A client
 * that has closed both sides is noticed by POLLHUP.
 *
 * LINGERING: closing a Unix socket that still holds unread bytes turns the end
 * of the answer into ECONNRESET at the client. So what it still sends is read
 * and dropped, for a second at most.
 *
 * Invariants:
 *   I1  x holds something to give back exactly from WAITING on;
 *   I2  before each use the descriptor has been found to be still ours.
 *
 * Locks: none; helper_fds_lock() around free, for fork.
 */
#include "observe/conn.h"
#include "observe/helper.h"
#include "observe/httpd.h"
#include "os/clock.h"
#include "os/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
	SIZE = ALIGN_UP(sizeof(struct conn), OS_PAGE),
	LINGER_NS = 1000000000,
};

static int64_t timeout(void)
{
	return clock_mono_ns() + HTTPD_TIMEOUT_MS * INT64_C(1000000);
}

/* The answer in c->x is complete: put a head before it and send both. */
static void write_answer(struct conn *c)
{
	struct fmt f;

	if (!grow_fmt_end(&c->x.answer, &c->x.out)) {
		route_error(&c->x, 503, "out of memory");
		grow_fmt_end(&c->x.answer, &c->x.out);
	}
	grow_fmt(&c->head, &f);
	http_answer_head(&f, c->x.status, c->x.type, c->x.answer.len,
		c->x.extra);
	grow_fmt_end(&c->head, &f);
	c->no_body = c->req.method == HTTP_HEAD;
	c->sent = 0;
	c->state = CONN_WRITING;
	c->deadline_ns = timeout();
}

static void refuse(struct conn *c, int status, const char *why)
{
	c->x = (struct exchange){.answer = GROW_INIT(EXCHANGE_ANSWER_MAX)};
	route_error(&c->x, status, "%s", why);
	write_answer(c);
}

struct conn *conn_new(struct ownfd fd, bool allowed)
{
	struct conn *c = sysmem_map(NULL, SIZE, SYS_OTHER);

	if (!c) {
		ownfd_close(&fd);
		return NULL;
	}
	c->fd = fd;
	c->state = CONN_READING;
	c->deadline_ns = timeout();
	c->head = (struct grow)GROW_INIT(16 * KIB);
	c->req.method = HTTP_OTHER;
	if (!allowed)
		refuse(c, 403, "only the user that the process runs as, and "
			       "root, may ask");
	return c;
}

void conn_free(struct conn *c)
{
	routes_end(&c->x);
	grow_free(&c->head);
	ownfd_close(&c->fd);
	sysmem_unmap(c, SIZE, SYS_OTHER);
}

void conn_end(struct conn *c)
{
	/* For good: a fork may find x half given back. */
	c->routing = true;
	routes_end(&c->x);
}

void conn_forget(struct conn *c)
{
	if (c->routing)
		c->x = (struct exchange){0};
	conn_free(c);
}

struct pollfd conn_poll(const struct conn *c, int64_t *deadline_ns)
{
	static const short events[] = {
		[CONN_READING] = POLLIN,
		[CONN_WAITING] = 0, /* POLLHUP comes unasked */
		[CONN_WRITING] = POLLOUT,
		[CONN_LINGERING] = POLLIN,
	};

	*deadline_ns = MIN(*deadline_ns, c->deadline_ns);
	return (struct pollfd){.fd = c->fd.fd, .events = events[c->state]};
}

static void route(struct conn *c, enum route_result (*step)(struct exchange *))
{
	enum route_result r;

	c->routing = true;
	r = step(&c->x);
	c->routing = false;
	if (r == ROUTE_WAIT) {
		c->state = CONN_WAITING;
		c->deadline_ns = c->x.again_ns;
	} else {
		write_answer(c);
	}
}

/*
 * Is the request complete? Then it is handed on, or refused. A complete head
 * (head_len is set) is not parsed again while its body comes, since parsing
 * has decoded it.
 */
static void parse(struct conn *c, bool end)
{
	int status = 200;
	size_t whole;

	if (!c->req.head_len)
		status = http_parse(&c->req, c->buf, c->len);
	whole = c->req.head_len + c->req.body_len;

	if (status == 400) {
		refuse(c, 400, c->req.error);
	} else if (status == 200 && c->len >= whole) {
		c->buf[whole] = '\0';
		c->x.req = &c->req;
		c->x.body = c->buf + c->req.head_len;
		route(c, routes_begin);
	} else if (end) {
		refuse(c, 400, "the request ends too early");
	}
}

/* Receive at most cap bytes: 0 at the end, < 0 without. */
static long receive(struct conn *c, char *buf, size_t cap)
{
	return sys6(SYS_recvfrom, c->fd.fd, (long)buf, (long)cap, MSG_DONTWAIT,
		0, 0);
}

static bool keep_trying(long ret)
{
	return ret == -EAGAIN || ret == -EINTR;
}

static bool read_request(struct conn *c)
{
	size_t room = HTTP_HEAD_MAX + HTTP_BODY_MAX - c->len;
	long n = receive(c, c->buf + c->len, room);

	if (n < 0)
		return keep_trying(n);
	if (n == 0 && c->len == 0)
		return false; /* came, saw, left */
	c->len += (size_t)n;
	parse(c, n == 0);
	return true;
}

static bool write_some(struct conn *c)
{
	const struct grow *body = &c->x.answer;
	size_t total = c->head.len + (c->no_body ? 0 : body->len);
	bool in_head = c->sent < c->head.len;
	const char *from = in_head ? c->head.p + c->sent
				   : body->p + (c->sent - c->head.len);
	size_t left = (in_head ? c->head.len : total) - c->sent;
	long n;

	if (left) {
		n = sys6(SYS_sendto, c->fd.fd, (long)from, (long)left,
			MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
		if (n < 0)
			return keep_trying(n);
		c->sent += (size_t)n;
		c->deadline_ns = timeout();
	}
	if (c->sent == total) {
		sys2(SYS_shutdown, c->fd.fd, SHUT_WR);
		c->state = CONN_LINGERING;
		c->deadline_ns = clock_mono_ns() + LINGER_NS;
	}
	return true;
}

static bool linger(struct conn *c)
{
	long n = receive(c, c->buf, sizeof(c->buf));

	return n > 0 || keep_trying(n);
}

/* A deadline has passed. */
static bool late(struct conn *c)
{
	switch (c->state) {
	case CONN_READING:
		refuse(c, 408, "no complete request within 10 seconds");
		return true;
	case CONN_WAITING:
		route(c, routes_again);
		return true;
	default:
		return false;
	}
}

bool conn_run(struct conn *c, short revents)
{
	if (!ownfd_valid(&c->fd)) /* I2 */
		return false;
	if (revents & (POLLIN | POLLOUT | POLLHUP | POLLERR)) {
		switch (c->state) {
		case CONN_READING:
			return read_request(c);
		case CONN_WAITING:
			return false; /* the client has left */
		case CONN_WRITING:
			return write_some(c);
		case CONN_LINGERING:
			return linger(c);
		}
	}
	return clock_mono_ns() < c->deadline_ns || late(c);
}
