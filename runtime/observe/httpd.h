/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_OBSERVE_HTTPD_H
#define GOSTAT_OBSERVE_HTTPD_H

#include "base/attrs.h"

/*
 * HTTP over a Unix socket, on the helper thread; the routes are in routes.c.
 */
enum {
	HTTPD_CONNECTIONS = 64,
	HTTPD_TIMEOUT_MS = 10000, /* for a request, and without progress */
};

/*
 * Remember what is needed from the environment (of getenv's form; may be
 * NULL). Call it once at load, before the program can change it.
 */
void httpd_init(char **envp);

/*
 * Serve at what the template stands for (see GOSTAT_SOCKET; "auto" too). The
 * string must stay. False if that is impossible; one line on stderr has said
 * why. Serving already: true, and nothing changes.
 *
 * Context: any thread, not in signal handlers; starts the helper thread.
 */
bool httpd_start(const char *template);

/*
 * Stop serving and remove the name; connections are cut. The helper goes on.
 * Context: as above, not on the helper.
 */
void httpd_stop(void);

/* The process ends: remove the name, nothing else. Async-signal-safe. */
void httpd_exit(void);

/* The path of the socket, NULL when not serving. */
const char *httpd_path(void);

/*
 * After fork, in the child, when helper_child() has run: everything inherited
 * is given up, the parent goes on serving. True if the child has a name of its
 * own to serve under (the template depends on the pid): the caller then calls
 * httpd_start(httpd_template()) when it thinks fit.
 */
bool httpd_child(void);
const char *httpd_template(void);

#endif
