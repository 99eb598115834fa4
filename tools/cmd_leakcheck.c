/* SPDX-License-Identifier: MIT */
/*
 * gostat leakcheck: run a command, say what it has leaked.
 *
 *	command + library ──at each exit──▶ FOLDER/PID-PROGRAM-TIME-N.json
 *	FOLDER ──▶ parse ──▶ names, suppression, groups ──▶ report, exit status
 *
 * The library writes what only the process can know; everything that needs
 * symbols is done here, when the process is gone. It is told to keep the
 * command's own exit status, so that the programs around it notice nothing;
 * the verdict is this tool's status.
 *
 * Without --follow the verdict is about one process. Its children are loaded
 * with the library too, since the process may exec at any time (and then is
 * still the same one, with a report for each program that it was).
 *
 * Invariant: nothing is green that was not checked. Each way to learn nothing
 * (no report, half a report, no library) ends in LEAKS_UNCHECKED and status 3.
 * Before an exec a process says what it will be; that one has to report, too.
 * For children that exec without a report of their own there are notes.
 */
#include "launch.h"
#include "leaks.h"
#include "mem.h"
#include "verbs.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum format { FORMAT_TEXT, FORMAT_JSON };
enum { OUT_BUFFER = 65536 };
static const char *const formats[] = {"text", "json", NULL};

struct check {
	const struct cli *cli;
	enum format format;
	bool follow, color;
	FILE *out;
	char *folder;
	struct suppress rules;
	struct symbolizer *symbolizer;
	pid_t pid;
	int wait_status;
	struct leaks *reports;
	size_t n;
};

static bool set_environment(const struct check *c)
{
	struct buf template = {0};

	if (!launch_preload(c->folder))
		return false;
	for (const char *p = c->folder; *p; p++)
		buf_printf(&template, *p == '%' ? "%%%%" : "%c", *p);
	buf_printf(&template, "/%%p-%%e-%%t-%%n.json");
	setenv("GOSTAT_LEAKCHECK", "exit", 1);
	setenv("GOSTAT_LEAKCHECK_OUT", template.data, 1);
	setenv("GOSTAT_LEAKCHECK_BRIEF", "1", 1);
	setenv("GOSTAT_LEAKCHECK_EXITCODE", "0", 1);
	setenv("GOSTAT_FOLLOW", "1", 1);
	/* Here they are applied to better names. */
	unsetenv("GOSTAT_SUPPRESSIONS");
	buf_free(&template);
	return true;
}

static void keep(struct check *c, const struct leaks *l)
{
	c->reports = mem_grow(c->reports, c->n, sizeof(*c->reports));
	c->reports[c->n++] = *l;
}

/* One file; those of other processes count with --follow only. */
static void collect_file(struct check *c, const char *path)
{
	struct buf text = {0};
	struct leaks l;
	char *why = NULL;
	int pid = atoi(strrchr(path, '/') + 1);

	if (!c->follow && pid != c->pid)
		return;
	if (!buf_read_file(&text, path))
		why = mem_copy(strerror(errno));
	else
		leaks_parse(&l, text.data, text.len, &why);
	if (why) {
		char *reason = mem_printf("its report can't be read: %s", why);

		leaks_unchecked(&l, pid, "", reason);
		free(reason);
		free(why);
	}
	keep(c, &l);
	buf_free(&text);
}

struct found {
	char *path;
	struct timespec written;
};

static int by_time(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	if (a->written.tv_sec != b->written.tv_sec)
		return a->written.tv_sec < b->written.tv_sec ? -1 : 1;
	if (a->written.tv_nsec != b->written.tv_nsec)
		return a->written.tv_nsec < b->written.tv_nsec ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* In the order in which they were written. */
static void collect(struct check *c)
{
	DIR *d = opendir(c->folder);
	struct found *of = NULL;
	struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');
		struct stat st;

		if (!dot || strcmp(dot, ".json") ||
			fstatat(dirfd(d), e->d_name, &st, 0))
			continue;
		of = mem_grow(of, n, sizeof(*of));
		of[n++] = (struct found){
			mem_printf("%s/%s", c->folder, e->d_name), st.st_mtim};
	}
	if (d)
		closedir(d);
	if (n)
		qsort(of, n, sizeof(*of), by_time);
	for (size_t i = 0; i < n; i++) {
		collect_file(c, of[i].path);
		free(of[i].path);
	}
	free(of);
}

static char *why_no_report(const struct check *c, int pid, const char *program)
{
	char *why;
	int sig = pid == c->pid && WIFSIGNALED(c->wait_status)
			  ? WTERMSIG(c->wait_status)
			  : 0;

	why = launch_obstacle(program);
	if (why)
		return why;
	if (sig)
		return mem_printf("killed by signal %d (%s) before it could "
				  "look",
			sig, strsignal(sig));
	return mem_copy("it left no report: it may have been killed, have lost "
			"the library, or have become another user");
}

static void keep_unchecked(struct check *c, int pid, const char *program)
{
	char *file = launch_find(program);
	char *why = why_no_report(c, pid, program);
	struct leaks l;

	leaks_unchecked(&l, pid, file ? file : program, why);
	keep(c, &l);
	free(file);
	free(why);
}

/*
 * Of a process that was several programs one after the other, the last one has
 * no next. Which came first is not always clear from the files' times.
 */
static bool reports_again(const struct check *c, size_t i)
{
	int pid = c->reports[i].pid;

	for (size_t k = 0; k < c->n; k++)
		if (c->reports[k].pid == pid && !c->reports[k].expected &&
			(k > i || !*c->reports[k].next))
			return true;
	return false;
}

/* Notes are of use until it is known what is missing. */
static void drop_expected(struct check *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->reports[i].expected)
			leaks_free(&c->reports[i]);
		else
			c->reports[n++] = c->reports[i];
	c->n = n;
}

/* The command itself must have spoken, and whatever a process has become. */
static void demand_reports(struct check *c)
{
	bool spoken = false;
	size_t n = c->n;

	for (size_t i = 0; i < n; i++) {
		const struct leaks *l = &c->reports[i];

		spoken |= l->pid == c->pid && !l->expected;
		if (*l->next && !reports_again(c, i) &&
			(!l->expected || c->follow))
			keep_unchecked(c, l->pid, l->next);
	}
	drop_expected(c);
	if (!spoken)
		keep_unchecked(c, c->pid, c->cli->argv[0]);
}

/* Without --follow there is one process; it may have been several programs. */
static void join(struct check *c)
{
	for (size_t i = 1; i < c->n && !c->follow; i++)
		leaks_merge(&c->reports[0], &c->reports[i]);
	if (!c->follow)
		c->n = 1;
}

static void print_json(const struct check *c)
{
	if (c->follow)
		fputc('[', c->out);
	for (size_t i = 0; i < c->n; i++) {
		if (i)
			fputs(",\n", c->out);
		leaks_write_json(&c->reports[i], &c->rules, c->out);
	}
	fputs(c->follow ? "]\n" : "\n", c->out);
}

static void print(const struct check *c)
{
	if (c->format == FORMAT_JSON) {
		print_json(c);
		return;
	}
	/* Of many, those without leaks are counted in the end. */
	for (size_t i = 0; i < c->n; i++)
		if (c->n == 1 || c->reports[i].status != LEAKS_CLEAN ||
			c->reports[i].nused)
			leaks_print(&c->reports[i], c->out, c->color,
				c->n > 1);
	if (c->n > 1)
		leaks_print_total(c->reports, c->n, c->out);
	leaks_print_unused(c->reports, c->n, &c->rules, c->out);
}

static int verdict(const struct check *c, uint64_t leaked_status)
{
	bool unchecked = false;

	for (size_t i = 0; i < c->n; i++) {
		if (c->reports[i].status == LEAKS_FOUND && leaked_status)
			return (int)leaked_status;
		unchecked |= c->reports[i].status == LEAKS_UNCHECKED;
	}
	return unchecked ? STATUS_UNCHECKED : -1;
}

/* Text belongs to what the command says, beside it; data is a result. */
static bool open_output(struct check *c)
{
	const char *path = cli_get(c->cli, "output");

	c->out = c->format == FORMAT_TEXT ? stderr : stdout;
	if (path)
		c->out = fopen(path, "we");
	if (!c->out)
		complain(path, "%s", strerror(errno));
	else
		c->color = cli_color(c->cli, fileno(c->out));
	return c->out;
}

static bool close_output(struct check *c)
{
	const char *path = cli_get(c->cli, "output");
	bool fine = !fflush(c->out) && !ferror(c->out);

	if (path && fclose(c->out))
		fine = false;
	if (!fine)
		complain(path ? path : "report", "%s", strerror(errno));
	return fine;
}

static int run_check(struct check *c, uint64_t leaked_status)
{
	int status;

	if (!set_environment(c))
		return STATUS_UNCHECKED;
	c->pid = launch_start(c->cli->argv, NULL);
	if (c->pid < 0) {
		complain(c->cli->argv[0], "%s",
			errno == ENOENT ? "not found" : strerror(errno));
		return STATUS_UNCHECKED;
	}
	c->wait_status = launch_wait(c->pid, c->follow);
	collect(c);
	demand_reports(c);
	join(c);
	/* stderr writes every word at once, if it isn't told otherwise. */
	setvbuf(c->out, NULL, _IOFBF, OUT_BUFFER);
	c->symbolizer = symbolizer_new(NULL);
	for (size_t i = 0; i < c->n; i++)
		leaks_complete(&c->reports[i], c->symbolizer, &c->rules);
	print(c);
	status = verdict(c, leaked_status);
	for (size_t i = 0; i < c->n; i++)
		leaks_free(&c->reports[i]);
	free(c->reports);
	symbolizer_free(c->symbolizer);
	return status;
}

static bool add_suppressions(struct check *c)
{
	if (!suppress_add_environment(&c->rules))
		return false;
	for (unsigned i = 0; i < c->cli->ngiven; i++)
		if (!strcmp(c->cli->given[i].option->name, "suppressions") &&
			!suppress_add_file(
				&c->rules, c->cli->given[i].value, false))
			return false;
	return true;
}

static int leakcheck(const struct cli *cli)
{
	struct check c = {.cli = cli, .follow = cli_get(cli, "follow")};
	uint64_t leaked_status =
		cli_number(cli, "error-exitcode", STATUS_LEAKS, 0, 255);
	int status = STATUS_ERROR;

	c.format = cli_choice(cli, "format",
		cli_get(cli, "json") ? FORMAT_JSON : FORMAT_TEXT, formats);
	if (!cli->argc)
		cli_usage(cli, "leakcheck", "which command?");
	if (add_suppressions(&c) && open_output(&c)) {
		c.folder = launch_folder();
		if (c.folder) {
			status = run_check(&c, leaked_status);
			launch_remove_folder(c.folder);
		}
		if (!close_output(&c))
			status = STATUS_ERROR;
		else if (status < 0)
			status = launch_status(c.wait_status);
	}
	suppress_free(&c.rules);
	return status;
}

static const struct cli_option options[] = {
	{0, "suppressions", "FILE",
		"leaks not to report: leak:PATTERN lines, as for "
		"LeakSanitizer; may be given several times"},
	{0, "error-exitcode", "N",
		"exit status when a process leaked (23); 0: the command's"},
	{0, "format", "FORMAT",
		"text (default, to stderr) or json (to stdout)"},
	{0, "json", NULL, "the same as --format=json"},
	{'o', "output", "FILE", "write the report there"},
	{0, "follow", NULL,
		"check all processes that the command starts, and wait for "
		"them"},
	{0},
};

const struct cli_verb verb_leakcheck = {
	.name = "leakcheck",
	.operands = "[--] COMMAND [ARGUMENT...]",
	.summary = "run a command and report the memory that it leaks",
	.details =
		"Every allocation's stack is kept; what nothing refers to when "
		"the process ends\nis reported, by stack, the largest first. "
		"Direct leaks are those that no other\nleaked memory refers "
		"to.\n\nExit status: 23 if a process leaked; 3 if the check "
		"could not run (a static or\nsetuid program, one that was "
		"killed); else the command's own.\n",
	.options = options,
	.command = true,
	.run = leakcheck,
};
