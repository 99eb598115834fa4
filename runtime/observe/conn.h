/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_CONN_H
#define GOSTAT_OBSERVE_CONN_H

#include "observe/routes.h"
#include "os/ownfd.h"

#include <poll.h>

/*
 * One client of the server, from accept to close. Helper thread only, except
 * conn_forget().
 */
struct conn {
	struct ownfd fd;
	enum conn_state {
		CONN_READING, /* the request */
		CONN_WAITING, /* for its route */
		CONN_WRITING, /* the answer */
		CONN_LINGERING, /* until the client has read it */
	} state;
	int64_t deadline_ns;
	size_t len;	  /* bytes in buf */
	size_t sent;	  /* of head and body together */
	struct grow head; /* of the answer */
	bool no_body;	  /* the request was HEAD */
	bool routing;	  /* x is in the hands of its route, or of conn_end() */
	struct http_request req;
	struct exchange x;
	char buf[HTTP_HEAD_MAX + HTTP_BODY_MAX + 1];
};

/*
 * Take over an accepted descriptor. allowed: the peer may ask; otherwise it is
 * told that it may not. NULL without memory (the descriptor is closed then).
 */
struct conn *conn_new(struct ownfd fd, bool allowed);

/* What to wait for; lowers *deadline_ns. */
struct pollfd conn_poll(const struct conn *c, int64_t *deadline_ns);

/*
 * Go on after a wait that ended with these events (0: none). False when the
 * connection is finished: conn_free() it.
 */
bool conn_run(struct conn *c, short revents);

/*
 * End c's route, whose locks must not be taken under helper_fds_lock(). What
 * follows is conn_free().
 */
void conn_end(struct conn *c);

/* Close and give back. Called with helper_fds_lock() held. */
void conn_free(struct conn *c);

/*
 * The same in the child of fork. The parent's helper may have been in the
 * middle of c's route; what that held is left alone then.
 */
void conn_forget(struct conn *c);

#endif
