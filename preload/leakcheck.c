/* SPDX-License-Identifier: MIT */
/*
 * leakcheck: the last question to a process, and who gets the answer.
 *
 *	a way out (exit.c, exec.c, deadly.c)
 *	    |
 *	gc_cycle(GC_EXIT)      the world stops, marking in place
 *	gc_go_on()             it runs on: whoever reads our stderr may be in it
 *	report                 GOSTAT_LEAKCHECK_OUT: JSON, whatever came out
 *	    |                  else text, only if there is something to say
 *	exit status            the way out's business
 *
 * Several threads may leave at once, or a signal may come while the report is
 * written. The first one looks; another thread waits for it, since the process
 * must not end with half a report; the same thread goes on to its end.
 *
 *	OPEN --first--> BUSY --> DONE          exec failed: OPEN again
 *
 * Who is checked: a process of our own pid. A child of vfork shares this
 * memory, its end is not ours.
 *
 * LeakSanitizer's users find their options, suppressions and functions of the
 * program's obeyed (gc/lsan.h); then the report speaks in its name.
 */
#include "preload/leakcheck.h"
#include "base/atomics.h"
#include "base/lock.h"
#include "base/options.h"
#include "base/syscall.h"
#include "gc/aside.h"
#include "gc/gc.h"
#include "gc/lsan.h"
#include "gc/suppress.h"
#include "observe/dumpfile.h"
#include "observe/emit.h"
#include "observe/memstats.h"
#include "os/sandbox.h"
#include "profile/modules.h"
#include "profile/symbols.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the program may define; sanitizer/lsan_interface.h declares it. */
#define PROGRAMS __attribute__((weak, visibility("default")))
PROGRAMS const char *__lsan_default_options(void);
PROGRAMS const char *__lsan_default_suppressions(void);
PROGRAMS int __lsan_is_turned_off(void);

enum { OPEN, BUSY, DONE };
enum { NUMBERS = 1000 }; /* reports of one process in one second */

static struct {
	int pid;
	uint32_t state;
	int tid;    /* who is BUSY */
	int status; /* when DONE: what leakcheck_end() returned */
	const char *next; /* what it becomes by exec, or NULL */
	bool last, found; /* of leakcheck_now() */
	bool lsan;  /* its users are to feel at home */
	bool to_stdout;
	struct dumpfile file;
	struct gostat_memstats stats;
	char exe[DUMPFILE_PATH_MAX];
	char log[DUMPFILE_PATH_MAX]; /* template made of log_path */
	char buf[8192];
} check;

bool leakcheck_on(void)
{
	return options->leakcheck == LEAKCHECK_EXIT;
}

bool leakcheck_is_here(void)
{
	return check.pid == (int)sys0(SYS_getpid);
}

bool leakcheck_is_busy(void)
{
	return stop_deferred != 0;
}

/* -------- at load -------- */

static void add_suppressions(void)
{
	const char *text;

	if (options->suppressions)
		suppress_add_file(options->suppressions);
	if (*lsan.suppressions)
		suppress_add_file(lsan.suppressions);
	text = __lsan_default_suppressions ? __lsan_default_suppressions()
					   : NULL;
	if (text)
		suppress_add_text(
			text, strlen(text), "__lsan_default_suppressions");
}

/* LeakSanitizer's way to name files. Percent signs of a path are no template's. */
static void make_log(void)
{
	struct fmt f;

	fmt_init(&f, check.log, sizeof(check.log), -1);
	for (const char *p = lsan.log_path; *p; p++) {
		if (*p == '%')
			fmt_char(&f, '%');
		fmt_char(&f, *p);
	}
	fmt_str(&f, ".%p");
	fmt_cstr(&f);
}

void leakcheck_init(void)
{
	check.pid = (int)sys0(SYS_getpid);
	if (!leakcheck_on())
		return;
	if (__lsan_default_options) {
		lsan_parse(__lsan_default_options(), "__lsan_default_options");
		check.lsan = true;
	}
	if (options->lsan_options) {
		lsan_parse(options->lsan_options, "LSAN_OPTIONS");
		check.lsan = true;
	}
	add_suppressions();
	modules_refresh(); /* at the end it could wait for the loader */
	check.to_stdout = !strcmp(lsan.log_path, "stdout");
	if (*lsan.log_path && !check.to_stdout &&
		strcmp(lsan.log_path, "stderr"))
		make_log();
}

bool leakcheck_says(void)
{
	return leakcheck_on() && !options->leakcheck_out && !*check.log &&
	       !check.to_stdout;
}

void leakcheck_postfork_child(void)
{
	check.pid = (int)sys0(SYS_getpid);
	check.state = OPEN;
}

/* -------- the report -------- */

static void heap(struct fmt *f)
{
	memstats_read(&check.stats);
	emit_json(f, &check.stats);
}

static const char *exe(void)
{
	long n = sys3(SYS_readlink, "/proc/thread-self/exe", check.exe,
		sizeof(check.exe) - 1);

	if (sys_failed(n))
		return dumpfile_program();
	check.exe[n] = '\0';
	return check.exe;
}

/*
 * A program that becomes another one by exec, or itself, counts from 1 again;
 * what it has left must stay.
 */
static uint64_t free_number(const char *template)
{
	uint64_t n = 1;

	for (; n < NUMBERS && strstr(template, "%n"); n++)
		if (!dumpfile_expand(template, n, check.file.path,
			    sizeof(check.file.path)) ||
			sys_failed(sys2(SYS_access, check.file.path, F_OK)))
			break;
	return n;
}

static bool leaked(const struct leaks *l)
{
	return l->objects[LEAK_DIRECT] || l->objects[LEAK_INDIRECT] ||
	       l->truncated;
}

static bool suppressions_used(const struct leaks *l)
{
	return lsan.print_suppressions && l->objects[LEAK_SUPPRESSED];
}

static struct leakreport_options how(void)
{
	return (struct leakreport_options){
		.tool = check.lsan ? "LeakSanitizer" : "gostat",
		.pid = dumpfile_pid(),
		.exe = exe(),
		.max_leaks = lsan.max_leaks,
		.report_objects = lsan.report_objects,
		.print_suppressions = lsan.print_suppressions,
		.brief = options->leakcheck_brief,
		.next = check.next,
		.heap = heap,
	};
}

static bool open_report(const char *template)
{
	return dumpfile_open(&check.file, "leak report", template, "",
		template ? free_number(template) : 1, check.buf,
		sizeof(check.buf));
}

static void report_json(const struct leaks *l)
{
	struct leakreport_options o = how();

	if (!open_report(options->leakcheck_out))
		return;
	leakreport_json(&check.file.f, l, &o);
	dumpfile_commit(&check.file);
}

static void report_text(const struct leaks *l)
{
	struct leakreport_options o = how();

	if (!l->unchecked && !leaked(l) && !suppressions_used(l))
		return;
	if (!open_report(*check.log ? check.log : NULL))
		return;
	if (check.to_stdout)
		check.file.f.fd = STDOUT_FILENO;
	leakreport_text(&check.file.f, l, &o);
	dumpfile_commit(&check.file);
}

int leakcheck_status(void)
{
	uint64_t ours = options->leakcheck_exitcode;

	if (ours == 0 || lsan.exitcode == 0)
		return -1;
	return lsan.exitcode > 0 ? lsan.exitcode : (int)ours;
}

/* Report the last cycle, or why there is none. True if there are leaks. */
static bool conclude(const char *error, void (*report)(const struct leaks *l))
{
	struct leaks none = {.unchecked = error};
	const struct leaks *l = error ? &none : gc_leaks();
	bool found = !error && l && leaked(l);

	if (l)
		report(l);
	if (!error)
		gc_leaks_done();
	symbols_forget();
	return found;
}

/* Why not to look, or NULL. In a report for a program it needs a reason. */
static const char *veto(void)
{
	if (!lsan.detect_leaks)
		return "detect_leaks=0";
	if (__lsan_is_turned_off && __lsan_is_turned_off())
		return "__lsan_is_turned_off()";
	return NULL;
}

/* -------- when -------- */

/* True: the caller is to look. */
static bool claim(void)
{
	struct timespec ms = {0, 1000000};
	uint32_t open = OPEN;
	int tid = (int)sys0(SYS_gettid);

	/* acquire [ended]: pairs with the release in done(). */
	while (!cas_acquire(&check.state, &open, BUSY)) {
		/* acquire [ended]: as above, for the status. */
		if (load_acquire(&check.state) == DONE || check.tid == tid)
			return false;
		sys2(SYS_nanosleep, &ms, NULL);
		open = OPEN;
	}
	check.tid = tid;
	check.status = -1;
	return true;
}

static void done(uint32_t state)
{
	/* release [ended]: who waits in claim() finds the report written. */
	store_release(&check.state, state);
}

/*
 * Or say why not. There may be little room: after a signal on the stack of a
 * coroutine.
 */
static void look(void *not)
{
	const char *why = lsan.leak_check_at_exit ? veto()
						  : "leak_check_at_exit=0";
	void (*report)(const struct leaks *l) =
		options->leakcheck_out ? report_json : report_text;

	if (why && !options->leakcheck_out)
		return;
	if (!why && not) {
		why = not;
	} else if (!why && leakcheck_is_busy()) {
		why = "the end came in the middle of the allocator";
	} else if (!why) {
		why = gc_cycle(GC_EXIT, true);
		gc_go_on();
	}
	if (conclude(why, report))
		check.status = leakcheck_status();
}

static int end(const char *not)
{
	if (!leakcheck_on() || sandboxed || !leakcheck_is_here())
		return -1;
	if (!claim())
		return check.status;
	check.file.path[0] = '\0';
	aside_call(look, (void *)not);
	done(DONE);
	return check.status;
}

int leakcheck_end(void)
{
	return end(NULL);
}

/* Who leaves at the same moment in another way gets the same report. */
int leakcheck_exec(const char *file)
{
	int status;

	check.next = file;
	status = end(NULL);
	check.next = NULL;
	return status;
}

void leakcheck_restricted(void)
{
	end("the program has restricted its system calls (seccomp)");
}

void leakcheck_undo(void)
{
	if (sandboxed)
		return;
	if (load_relaxed(&check.state) != DONE || !leakcheck_is_here())
		return;
	if (options->leakcheck_out && check.file.path[0])
		sys1(SYS_unlink, check.file.path);
	store_relaxed(&check.state, OPEN);
}

static void look_now(void *arg UNUSED)
{
	/* For a program it is the end that counts. */
	void (*report)(const struct leaks *l) =
		check.last && options->leakcheck_out ? report_json
						     : report_text;

	if (!veto())
		check.found = conclude(leakcheck_is_busy()
				? "called inside the allocator"
				: gc_cycle(GC_FORCED, true),
			report);
}

bool leakcheck_now(bool last)
{
	bool found;

	if (!leakcheck_on() || sandboxed || !leakcheck_is_here() || !claim())
		return false;
	check.last = last;
	check.found = false;
	aside_call(look_now, NULL);
	found = check.found;
	done(last ? DONE : OPEN);
	return found;
}
