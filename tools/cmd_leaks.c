/* SPDX-License-Identifier: MIT */
/*
 * gostat leaks: what a running process has lost by now.
 *
 *	POST /gc ──▶ GET /leaks?format=json ──▶ names, suppression, groups
 */
#include "client.h"
#include "leaks.h"
#include "verbs.h"

#include <stdlib.h>
#include <unistd.h>

enum { GC_SECONDS = 600 };

static bool fetch(const struct process *p, struct leaks *l)
{
	struct buf cycle = {0}, body = {0};
	char *why;
	bool fine =
		client_get(p, "POST", "/gc", GC_SECONDS, &cycle) &&
		client_get(p, "GET", "/leaks?format=json", GC_SECONDS, &body);

	if (fine && !leaks_parse(l, body.data, body.len, &why)) {
		complain("leaks", "process %d: %s", p->pid, why);
		free(why);
		fine = false;
	}
	buf_free(&cycle);
	buf_free(&body);
	return fine;
}

static void print(const struct cli *c, const struct leaks *l,
	const struct suppress *rules)
{
	if (!cli_get(c, "json")) {
		leaks_print(l, stdout, cli_color(c, STDOUT_FILENO), false);
		leaks_print_unused(l, 1, rules, stdout);
		return;
	}
	leaks_write_json(l, rules, stdout);
	putchar('\n');
}

static int leaks(const struct cli *c)
{
	static const int statuses[] = {
		[LEAKS_CLEAN] = STATUS_OK,
		[LEAKS_FOUND] = STATUS_LEAKS,
		[LEAKS_UNCHECKED] = STATUS_UNCHECKED,
	};
	const char *file = cli_get(c, "suppressions");
	struct suppress rules = {0};
	struct symbolizer *s;
	int pid = cli_pid(c), status = STATUS_ERROR;
	struct process p;
	struct leaks l;

	if ((file && !suppress_add_file(&rules, file, false)) ||
		!client_find(&p, pid))
		return STATUS_ERROR;
	if (fetch(&p, &l)) {
		s = symbolizer_new(p.root);
		leaks_complete(&l, s, &rules);
		print(c, &l, &rules);
		status = statuses[l.status];
		leaks_free(&l);
		symbolizer_free(s);
	}
	suppress_free(&rules);
	process_free(&p);
	return status;
}

static const struct cli_option options[] = {
	{0, "suppressions", "FILE", "leaks not to report: leak:PATTERN lines"},
	{0, "json", NULL, "as JSON"},
	{0},
};

const struct cli_verb verb_leaks = {
	.name = "leaks",
	.operands = "PID",
	.summary = "report what a running process has leaked so far",
	.details = "A cycle runs first; the process goes on meanwhile.\n\n"
		   "Exit status: 23 if there are leaks, 0 if there are none.\n",
	.options = options,
	.run = leaks,
};
