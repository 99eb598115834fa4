/* SPDX-License-Identifier: MIT */
/*
 * gostat run: a command with the library in it and a socket to ask it.
 *
 *	command + library ──at its end──▶ FOLDER/PID-PROGRAM-TIME-N ──▶ summary
 *
 * The figures of the summary are the MemStats that the library writes when the
 * process ends; those of other processes that it has started are not looked
 * at. If the user has said what is to be done at exit, that is done instead.
 */
#include "base/options.h"
#include "launch.h"
#include "mem.h"
#include "verbs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* The variable that K stands for: its name, or without GOSTAT_, any case. */
static const char *variable(const struct cli *c, const char *k)
{
	char *name = mem_copy(k), *full;

	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	full = mem_printf("GOSTAT_%s", name);
	for (unsigned i = 0; i < noption_rows; i++) {
		const char *row = option_rows[i].name;

		if (!strcmp(row, name) || !strcmp(row, full)) {
			free(name);
			free(full);
			return row;
		}
	}
	cli_usage(c, k, "no such variable; did you mean %s?",
		options_nearest(full));
}

static void set_variables(const struct cli *c)
{
	for (unsigned i = 0; i < c->ngiven; i++) {
		const char *kv = c->given[i].value, *eq = strchr(kv, '=');
		char *k;

		if (strcmp(c->given[i].option->name, "option"))
			continue;
		if (!eq || eq == kv)
			cli_usage(c, kv, "is not NAME=VALUE");
		k = mem_copy_n(kv, (size_t)(eq - kv));
		setenv(variable(c, k), eq + 1, 1);
		free(k);
	}
}

/* Have the MemStats written to the folder, unless something else is wanted. */
static bool ask_for_stats(const char *folder)
{
	const char *atexit_is = getenv("GOSTAT_ATEXIT");
	struct buf template = {0};

	if (atexit_is && *atexit_is)
		return false;
	for (const char *p = folder; *p; p++)
		buf_printf(&template, *p == '%' ? "%%%%" : "%c", *p);
	buf_printf(&template, "/%%p-%%e-%%t-%%n");
	setenv("GOSTAT_ATEXIT", "stats", 1);
	setenv("GOSTAT_ATEXIT_OUT", template.data, 1);
	buf_free(&template);
	return true;
}

/* The newest file of this process. */
static bool read_stats(const char *folder, pid_t pid, struct buf *text)
{
	char *prefix = mem_printf("%d-", pid), *newest = NULL;
	DIR *d = opendir(folder);
	struct dirent *e;
	bool fine = false;

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, prefix, strlen(prefix)) &&
			(!newest || strcmp(e->d_name, newest) > 0)) {
			free(newest);
			newest = mem_copy(e->d_name);
		}
	if (d)
		closedir(d);
	if (newest) {
		char *path = mem_printf("%s/%s", folder, newest);

		fine = buf_read_file(text, path);
		free(path);
	}
	free(newest);
	free(prefix);
	return fine;
}

static uint64_t figure(const struct buf *text, const char *name)
{
	char *line = mem_printf("\n%s = ", name);
	const char *at = strstr(text->data, line);
	uint64_t v = at ? strtoull(at + strlen(line), NULL, 10) : 0;

	free(line);
	return v;
}

/* 22.5 MiB */
static const char *size(uint64_t v, char out[24])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double d = (double)v;
	unsigned u = 0;

	for (; d >= 1024 && u + 1 < NELEM(units); u++)
		d /= 1024;
	snprintf(out, 24, u ? "%.1f %s" : "%.0f %s", d, units[u]);
	return out;
}

static void print_summary(const struct buf *text)
{
	char a[24], b[24], c[24];

	fprintf(stderr,
		"gostat: heap %s in %lu objects at the end; %s allocated by "
		"%lu calls; %s from the system\n",
		size(figure(text, "HeapAlloc"), a),
		(unsigned long)figure(text, "HeapObjects"),
		size(figure(text, "TotalAlloc"), b),
		(unsigned long)figure(text, "Mallocs"),
		size(figure(text, "Sys"), c));
	if (figure(text, "NumGC"))
		fprintf(stderr, "gostat: %lu cycles, %.3f ms stopped\n",
			(unsigned long)figure(text, "NumGC"),
			(double)figure(text, "PauseTotalNs") / 1e6);
}

static void summary(const struct cli *c, const char *folder, pid_t pid,
	int wait_status, double seconds)
{
	struct buf text = {0};

	if (WIFSIGNALED(wait_status))
		fprintf(stderr, "gostat: %s (%d) killed by signal %d (%s) ",
			c->argv[0], pid, WTERMSIG(wait_status),
			strsignal(WTERMSIG(wait_status)));
	else
		fprintf(stderr, "gostat: %s (%d) exit status %d ", c->argv[0],
			pid, WEXITSTATUS(wait_status));
	fprintf(stderr, "after %.2f s\n", seconds);
	if (read_stats(folder, pid, &text)) {
		print_summary(&text);
	} else {
		char *why = launch_obstacle(c->argv[0]);

		fprintf(stderr, "gostat: no figures: %s\n",
			why			   ? why
			: WIFSIGNALED(wait_status) ? "it was killed"
						   : "the process left none");
		free(why);
	}
	buf_free(&text);
}

static int run_in(const struct cli *c, const char *folder)
{
	struct timespec t0, t1;
	int wait_status;
	bool stats;
	pid_t pid;

	if (!launch_preload(folder))
		return STATUS_ERROR;
	setenv("GOSTAT_SOCKET", "auto", 0);
	set_variables(c);
	stats = ask_for_stats(folder);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	pid = launch_start(c->argv, stats ? "GOSTAT_ATEXIT_PID" : NULL);
	if (pid < 0) {
		bool missing = errno == ENOENT;

		complain(c->argv[0], "%s",
			missing ? "not found" : strerror(errno));
		return missing ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
	}
	wait_status = launch_wait(pid, false);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	if (stats && !cli_get(c, "quiet"))
		summary(c, folder, pid, wait_status,
			(double)(t1.tv_sec - t0.tv_sec) +
				(double)(t1.tv_nsec - t0.tv_nsec) / 1e9);
	return -1 - wait_status;
}

static int run(const struct cli *c)
{
	char *folder;
	int status;

	if (!c->argc)
		cli_usage(c, "run", "which command?");
	folder = launch_folder();
	if (!folder)
		return STATUS_ERROR;
	status = run_in(c, folder);
	launch_remove_folder(folder);
	return status < 0 ? launch_status(-1 - status) : status;
}

static const struct cli_option options_of_run[] = {
	{'o', "option", "K=V",
		"set a variable: maxheap=1GiB is GOSTAT_MAXHEAP=1GiB; may be "
		"given several times"},
	{'q', "quiet", NULL, "no summary"},
	{0},
};

const struct cli_verb verb_run = {
	.name = "run",
	.operands = "[--] COMMAND [ARGUMENT...]",
	.summary = "run a command with libgostat in it",
	.details =
		"While it runs, gostat list shows it, and gostat stats, "
		"heap and others can ask\nit. Its output, exit status and "
		"signals are its own; a summary goes to stderr at\nthe end.\n",
	.options = options_of_run,
	.command = true,
	.run = run,
};
