/* SPDX-License-Identifier: MIT */
/* gostat trace: an execution trace of a running process, as it takes it. */
#include "client.h"
#include "output.h"
#include "verbs.h"

#include <stdlib.h>

enum { ANSWER_SECONDS = 60, SECONDS_MAX = 24 * 3600 };

static int trace(const struct cli *c)
{
	static const char *const formats[] = {"go", "perfetto", NULL};
	unsigned seconds =
		(unsigned)cli_number(c, "seconds", 1, 1, SECONDS_MAX);
	unsigned format = cli_choice(c, "format", 0, formats);
	int pid = cli_pid(c), status = STATUS_ERROR;
	struct buf body = {0};
	struct process p;
	char *path, *name;

	if (!client_find(&p, pid))
		return STATUS_ERROR;
	path = mem_printf("/debug/pprof/trace?seconds=%u&format=%s", seconds,
		formats[format]);
	name = mem_printf("trace-%d.%s", pid, format ? "json" : "out");
	if (client_get(&p, "GET", path, seconds + ANSWER_SECONDS, &body) &&
		output_binary(cli_get(c, "output"), name, body.data, body.len))
		status = STATUS_OK;
	free(name);
	free(path);
	buf_free(&body);
	process_free(&p);
	return status;
}

static const struct cli_option options[] = {
	{0, "seconds", "N", "how long (1)"},
	{'o', "output", "FILE",
		"write there (default: stdout; on a terminal trace-PID.out)"},
	{0, "format", "FORMAT", "go (default) or perfetto"},
	{0},
};

const struct cli_verb verb_trace = {
	.name = "trace",
	.operands = "PID",
	.summary = "take an execution trace of a process",
	.details = "Threads, cycles and pauses, for  go tool trace FILE  or for "
		   "ui.perfetto.dev.\n",
	.options = options,
	.run = trace,
};
