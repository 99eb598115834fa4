/* SPDX-License-Identifier: MIT */
/*
 * serve: the socket, and the trace, in the life of a process, and where its
 * figures come from.
 *
 *	load    remember what the environment says
 *	main    start the helper thread, listen, record    (start.c)
 *	fork    the child has a socket and a trace if they have names of its own
 *	exit    the name goes, the trace is written
 *
 * The thread starts when main does: our constructor runs before libc's, and a
 * program that never gets to main has nothing to show. In the child of fork it
 * starts at once; who asks for a socket of every process has said so.
 */
#include "preload/serve.h"
#include "alloc/tick.h"
#include "base/fatal.h"
#include "base/options.h"
#include "observe/background.h"
#include "observe/dumptrace.h"
#include "observe/gcrun.h"
#include "observe/heapprofile.h"
#include "observe/httpd.h"
#include "observe/routes.h"
#include "observe/sockpath.h"
#include "observe/tracefile.h"
#include "os/sandbox.h"
#include "profile/stacktab.h"

void serve_init(char **envp)
{
	if (options->socket)
		httpd_init(envp);
}

static void begin(const char *template)
{
	if (httpd_start(template))
		background_start();
}

static void collect(void)
{
	if (!gcrun_start())
		warn("there will be no cycles: cannot start a thread");
}

bool serve_needed(void)
{
	return options->socket || options->trace || dumptrace_wanted() ||
	       gcrun_needed();
}

void serve_begin(void)
{
	if (options->trace)
		tracefile_start(options->trace);
	if (dumptrace_wanted())
		dumptrace_begin(false);
	if (gcrun_needed())
		collect();
	if (!options->socket)
		return;
	sources.heap = heapprofile_take;
	sources.mappings = heapprofile_mappings;
	sources.frames = stacktab_frames;
	sources.generation = stacktab_generation;
	sources.profile_rate = tick_sample_rate;
	sources.set_profile_rate = tick_set_sample_rate;
	begin(options->socket);
}

void serve_child(void)
{
	if (sandboxed)
		return; /* a new thread may be what the filter forbids */
	/* Under the parent's name it would replace the parent's trace. */
	if (options->trace && sockpath_is_per_process(options->trace))
		tracefile_start(options->trace);
	if (dumptrace_wanted())
		dumptrace_begin(true);
	if (gcrun_needed())
		collect();
	if (options->socket && httpd_child())
		begin(httpd_template());
}

void serve_end(void)
{
	tracefile_end();
	if (options->socket)
		httpd_exit();
}

void serve_end_now(void)
{
	tracefile_end_now();
	if (options->socket)
		httpd_exit();
}
