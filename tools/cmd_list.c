/* SPDX-License-Identifier: MIT */
/*
 * gostat list: the processes of this user that run libgostat. For root: of all
 * users.
 */
#include "mem.h"
#include "process.h"
#include "verbs.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef WITH_JANSSON
#include <jansson.h>

static void print_json(const struct process *p, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			all, json_pack("{s:i, s:i, s:s*, s:s?}", "pid",
				     p[i].pid, "uid", (int)p[i].uid, "exe",
				     p[i].exe, "socket", p[i].socket));
	json_dumpf(all, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(all);
}
#else
static void print_json(const struct process *p UNUSED, size_t n UNUSED)
{
	complain("json", "this build is without jansson");
	exit(STATUS_ERROR);
}
#endif

static void print_table(const struct process *p, size_t n)
{
	printf("%7s %-10s %-30s %s\n", "PID", "USER", "PROGRAM", "SOCKET");
	for (size_t i = 0; i < n; i++) {
		const struct passwd *user = getpwuid(p[i].uid);
		char number[16];

		snprintf(number, sizeof(number), "%u", p[i].uid);
		printf("%7d %-10s %-30s %s\n", p[i].pid,
			user ? user->pw_name : number, p[i].exe,
			p[i].socket ? p[i].socket : "-");
	}
}

static int list(const struct cli *c)
{
	struct process *p;
	size_t n;

	if (c->argc)
		cli_usage(c, c->argv[0], "list has no operands");
	p = process_list(&n);
	if (cli_get(c, "json"))
		print_json(p, n);
	else if (cli_get(c, "pids"))
		for (size_t i = 0; i < n; i++)
			printf("%d\n", p[i].pid);
	else
		print_table(p, n);
	for (size_t i = 0; i < n; i++)
		process_free(&p[i]);
	free(p);
	return STATUS_OK;
}

static const struct cli_option options[] = {
	{0, "json", NULL, "as an array of objects"},
	{0, "pids", NULL, "process ids only"},
	{0},
};

const struct cli_verb verb_list = {
	.name = "list",
	.operands = "",
	.summary = "list the processes that run libgostat",
	.options = options,
	.run = list,
};
