/* SPDX-License-Identifier: MIT */
/*
 * client: one question, one answer, one connection.
 *
 * The answer is read to its end before anything is done with it: the library
 * says Content-Length, and an answer that is shorter is an error, not a
 * profile that happens to be cut off.
 *
 * Who listens is asked of the kernel (SO_PEERCRED): a name in /tmp proves
 * nothing, and a process that does not answer itself may have inherited the
 * template of its parent.
 */
#include "client.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, CONNECT_SECONDS = 10 };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A name that is too long is reached through its folder's descriptor. */
static int connect_to(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int folder = -1, error, fd;

	if (strlen(path) < sizeof(un.sun_path)) {
		strcpy(un.sun_path, path);
	} else {
		const char *name = strrchr(path, '/') + 1;
		char *dir = mem_copy_n(path, (size_t)(name - path));

		folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		free(dir);
		if (folder < 0)
			return -1;
		snprintf(un.sun_path, sizeof(un.sun_path),
			"/proc/self/fd/%d/%.64s", folder, name);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		struct timeval t = {.tv_sec = CONNECT_SECONDS};

		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
		if (connect(fd, (struct sockaddr *)&un, sizeof(un))) {
			error = errno;
			close(fd);
			errno = error;
			fd = -1;
		}
	}
	error = errno;
	if (folder >= 0)
		close(folder);
	errno = error;
	return fd;
}

static bool is_peer(int fd, const struct process *p)
{
	struct ucred peer = {0};
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return false;
	if (peer.uid != p->uid && peer.uid != 0) {
		complain(p->socket, "user %u listens there, not %u", peer.uid,
			p->uid);
		return false;
	}
	if (peer.pid > 0 && peer.pid != p->pid) {
		complain(p->socket, "process %d listens there, not %d",
			peer.pid, p->pid);
		return false;
	}
	return true;
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		p += MAX(sent, 0);
		n -= (size_t)MAX(sent, 0);
	}
	return true;
}

/* Until the peer closes. */
static bool receive_all(int fd, struct buf *b, unsigned seconds)
{
	int64_t end = now_ms() + (int64_t)seconds * 1000;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0 || !poll(&p, 1, (int)MIN(left, 1000000))) {
			if (left > 0)
				continue;
			errno = ETIMEDOUT;
			return false;
		}
		n = read(fd, buf_room(b, CHUNK), CHUNK);
		if (n == 0) {
			b->data[b->len] = '\0';
			return true;
		}
		if (n < 0 && errno != EINTR)
			return false;
		b->len += (size_t)MAX(n, 0);
	}
}

/* Head and body apart; false: it is no answer, or not all of it. */
static bool split(struct buf *b, struct answer *a)
{
	static const char length[] = "\r\nContent-Length:";
	char *end = strstr(b->data, "\r\n\r\n"), *at;
	size_t head;

	if (!end || sscanf(b->data, "HTTP/1.%*d %d", &a->status) != 1)
		return false;
	head = (size_t)(end + 4 - b->data);
	end[2] = '\0';
	at = strcasestr(b->data, length);
	if (at && strtoull(at + sizeof(length) - 1, NULL, 10) != b->len - head)
		return false;
	a->body = (struct buf){0};
	buf_add(&a->body, b->data + head, b->len - head);
	return true;
}

bool client_ask(const struct process *p, const char *method, const char *path,
	unsigned seconds, struct answer *a)
{
	int fd = connect_to(p->socket);
	struct buf b = {0};
	bool fine = false;
	char *request;

	if (fd < 0) {
		complain(p->socket, "%s",
			errno == ECONNREFUSED
				? "nobody listens there; the process may have "
				  "crashed"
				: strerror(errno));
		return false;
	}
	if (!is_peer(fd, p)) {
		close(fd);
		return false;
	}
	request = mem_printf("%s %s HTTP/1.1\r\nHost: gostat\r\n"
			     "Content-Length: 0\r\nConnection: close\r\n\r\n",
		method, path);
	if (!send_all(fd, request, strlen(request)) ||
		!receive_all(fd, &b, seconds))
		complain(path, "process %d: %s", p->pid,
			errno == ETIMEDOUT ? "no answer" : strerror(errno));
	else if (!split(&b, a))
		complain(path, "process %d: the answer breaks off", p->pid);
	else
		fine = true;
	free(request);
	buf_free(&b);
	close(fd);
	return fine;
}

bool client_get(const struct process *p, const char *method, const char *path,
	unsigned seconds, struct buf *body)
{
	struct answer a = {0};

	if (!client_ask(p, method, path, seconds, &a))
		return false;
	if (a.status != 200) {
		complain(path, "process %d answers %d: %.*s", p->pid, a.status,
			(int)strcspn(a.body.data, "\r\n"), a.body.data);
		buf_free(&a.body);
		return false;
	}
	*body = a.body;
	return true;
}

bool client_find(struct process *p, int pid)
{
	char what[16];

	snprintf(what, sizeof(what), "%d", pid);
	if (!process_look(p, pid)) {
		complain(what, "no such process");
		return false;
	}
	if (p->socket)
		return true;
	if (geteuid() && p->uid != geteuid())
		complain(what,
			"belongs to user %u; run as that user or as root",
			p->uid);
	else if (process_is_loaded(p))
		complain(what, "has no socket; start it with gostat run, or "
			       "with GOSTAT_SOCKET=auto");
	else
		complain(what, "does not run libgostat; start it with gostat "
			       "run");
	process_free(p);
	return false;
}
