/* SPDX-License-Identifier: MIT */
/*
 * gostat stats, gc, free: questions whose answer is shown as it comes.
 */
#include "client.h"
#include "output.h"
#include "verbs.h"

#include <stdio.h>
#include <time.h>

enum { ANSWER_SECONDS = 60, GC_SECONDS = 600, WATCH_MAX = 24 * 3600 };

static bool show(const struct process *p, const char *method, const char *path,
	unsigned seconds)
{
	struct buf body = {0};
	bool fine = client_get(p, method, path, seconds, &body) &&
		    output_write(NULL, body.data, body.len);

	buf_free(&body);
	return fine;
}

static int ask(const struct cli *c, const char *method, const char *path,
	unsigned seconds)
{
	struct process p;
	bool fine;

	if (!client_find(&p, cli_pid(c)))
		return STATUS_ERROR;
	fine = show(&p, method, path, seconds);
	process_free(&p);
	return fine ? STATUS_OK : STATUS_ERROR;
}

/* Ends well if the process ends between two answers. */
static int watch(const struct cli *c, const char *path, unsigned seconds)
{
	struct process p, again;
	bool fine;

	if (!client_find(&p, cli_pid(c)))
		return STATUS_ERROR;
	for (fine = show(&p, "GET", path, ANSWER_SECONDS); fine;
		fine = show(&p, "GET", path, ANSWER_SECONDS)) {
		nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
		if (!process_look(&again, p.pid))
			break;
		process_free(&again);
	}
	process_free(&p);
	return fine ? STATUS_OK : STATUS_ERROR;
}

static int stats(const struct cli *c)
{
	const char *path =
		cli_get(c, "json") ? "/memstats?format=json" : "/memstats";
	unsigned seconds = (unsigned)cli_number(c, "watch", 0, 1, WATCH_MAX);

	return seconds ? watch(c, path, seconds)
		       : ask(c, "GET", path, ANSWER_SECONDS);
}

static const struct cli_option stats_options[] = {
	{'w', "watch", "SECONDS", "again and again, with this pause"},
	{0, "json", NULL, "the object that Go makes of runtime.MemStats"},
	{0},
};

const struct cli_verb verb_stats = {
	.name = "stats",
	.operands = "PID",
	.summary = "show the MemStats of a process",
	.options = stats_options,
	.run = stats,
};

static int gc(const struct cli *c)
{
	return ask(c, "POST", "/gc", GC_SECONDS);
}

const struct cli_verb verb_gc = {
	.name = "gc",
	.operands = "PID",
	.summary = "run a cycle of the collector and show its figures",
	.run = gc,
};

static int free_memory(const struct cli *c)
{
	return ask(c, "POST", "/freeosmemory", GC_SECONDS);
}

const struct cli_verb verb_free = {
	.name = "free",
	.operands = "PID",
	.summary = "make a process give idle memory back to the system",
	.run = free_memory,
};
