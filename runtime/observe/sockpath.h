/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_SOCKPATH_H
#define GOSTAT_OBSERVE_SOCKPATH_H

#include "os/ownfd.h"

/* A listening Unix socket and the name that it has in the file system. */
enum { SOCKPATH_MAX = 4096 };

struct sockpath {
	struct ownfd listener;
	uint64_t dev, ino; /* of the name; ino 0: it has none */
	char path[SOCKPATH_MAX]; /* absolute */
};

/*
 * Remember what the environment says about where sockets belong. Call it once
 * at load, while the environment is still the one that was passed in.
 */
void sockpath_init(char **envp);

/*
 * Is the name of this template different in a child process? (%p, or "auto".)
 */
bool sockpath_is_per_process(const char *template);

/*
 * Listen at what the template stands for; "auto" is the user's own folder. On
 * failure, false, and one line on stderr says why (none if it is because a
 * process that started this one already listens there). s->path is set as far
 * as it was known. Context: not in signal handlers; s has one user at a time.
 */
bool sockpath_listen(struct sockpath *s, const char *template);

/*
 * The same at s->path, when the listener is gone. False: it has been said why.
 */
bool sockpath_listen_again(struct sockpath *s);

/* Remove the name, if it still is the one that was made. Keeps the listener. */
void sockpath_unlink(struct sockpath *s);

#endif
