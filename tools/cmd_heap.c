/* SPDX-License-Identifier: MIT */
/*
 * gostat heap: the heap profile of a running process, with names.
 *
 *	/debug/pprof/heap ─▶ profile_read ─▶ symbols ─▶ profile_write ─▶ FILE
 */
#include "client.h"
#include "output.h"
#include "profile.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_SECONDS = 120, SECONDS_MAX = 24 * 3600 };

static bool complete(const struct process *p, struct buf *body)
{
	struct symbolizer *s;
	struct profile profile;
	const char *why;

	if (!profile_read(&profile, body->data, body->len, &why)) {
		complain("profile", "process %d: %s", p->pid, why);
		return false;
	}
	s = symbolizer_new(p->root);
	profile_symbolize(&profile, s);
	profile_write(&profile, body);
	profile_free(&profile);
	symbolizer_free(s);
	return true;
}

static int heap(const struct cli *c)
{
	unsigned seconds =
		(unsigned)cli_number(c, "seconds", 0, 1, SECONDS_MAX);
	const char *kind = cli_get(c, "allocs") ? "allocs" : "heap";
	int pid = cli_pid(c), status = STATUS_ERROR;
	struct process p;
	struct buf body = {0};
	char *path, *name;

	if (seconds && cli_get(c, "gc"))
		cli_usage(c, "gc", "can't be had with --seconds");
	if (!client_find(&p, pid))
		return STATUS_ERROR;
	path = mem_printf("/debug/pprof/%s", kind);
	if (seconds || cli_get(c, "gc")) {
		char *with =
			seconds ? mem_printf("%s?seconds=%u", path, seconds)
				: mem_printf("%s?gc=1", path);

		free(path);
		path = with;
	}
	name = mem_printf("%s-%d.pb.gz", kind, pid);
	if (client_get(&p, "GET", path, seconds + ANSWER_SECONDS, &body) &&
		complete(&p, &body) &&
		output_binary(cli_get(c, "output"), name, body.data, body.len))
		status = STATUS_OK;
	free(name);
	free(path);
	buf_free(&body);
	process_free(&p);
	return status;
}

static const struct cli_option options[] = {
	{'o', "output", "FILE",
		"write there (default: stdout; on a terminal heap-PID.pb.gz)"},
	{0, "allocs", NULL, "show all past allocations first, not live ones"},
	{0, "seconds", "N", "what changes within N seconds"},
	{0, "gc", NULL, "run a cycle first"},
	{0},
};

const struct cli_verb verb_heap = {
	.name = "heap",
	.operands = "PID",
	.summary = "write the heap profile of a process, for pprof",
	.details = "The profile has functions, lines and inlined calls in it; "
		   "any reader of pprof's\nformat shows it:  gostat heap PID "
		   "-o heap.pb.gz && go tool pprof heap.pb.gz\n",
	.options = options,
	.run = heap,
};
