/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_CLIENT_H
#define GOSTAT_TOOLS_CLIENT_H

/* HTTP over the library's Unix socket. */

#include "mem.h"
#include "process.h"

struct answer {
	int status;
	struct buf body;
};

/*
 * Ask process p, whose socket must be known, and wait up to seconds for the
 * answer. False: there is no answer, and it has been said why. The peer must
 * be p itself, and belong to p's user or root.
 */
bool client_ask(const struct process *p, const char *method, const char *path,
	unsigned seconds, struct answer *a);

/* The same, where every status but 200 is an error that is told. */
bool client_get(const struct process *p, const char *method, const char *path,
	unsigned seconds, struct buf *body);

/*
 * A process that can be asked. If there is none with this id, or it has no
 * socket, false, and it has been said what to do about it.
 */
bool client_find(struct process *p, int pid);

#endif
