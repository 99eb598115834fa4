/* SPDX-License-Identifier: MIT */
/*
 * dumptrace: the action trace, an execution trace from one signal to the next.
 *
 *	signal ─▶ dump.c ─▶ action: count, post ─▶ helper: start, or stop
 *	end of the process ─────────▶ serve_end() ─▶ tracefile_stop()
 *
 * A signal is a moment and a trace is a while, so requests take turns: one
 * starts recording, the next ends it and has the file written; so does the end
 * of the process. GOSTAT_TRACE's recording is ended by the first request.
 * GOSTAT_ATEXIT=trace can only mean a recording that is ready at the end; it
 * starts with main.
 *
 * Starting and ending take locks and open files, which a signal handler can't:
 * the helper thread does it. So it is there from main on where a variable names
 * the action.
 *
 * The file is what GOSTAT_DUMP says. Without that, a trace being binary, it is
 * a temporary one (dumpheap.c does the same), and a line tells its name.
 *
 * Locks: none of its own; only the helper starts and stops here.
 */
#include "observe/dumptrace.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/helper.h"
#include "observe/sockpath.h"
#include "observe/tracefile.h"

static void take_turns(void *arg);

static struct {
	uint32_t wishes; /* that the helper has not seen yet */
	struct helper_work work;
	uint64_t number;
	const char *suffix;
	char template[DUMPFILE_PATH_MAX];
} dumptrace = {.work = {.fn = take_turns}};

/* template NULL: a temporary file. */
static void start(const char *template)
{
	const char *suffix = dumptrace.suffix, *to = template;

	if (!to) {
		to = dumpfile_template(".trace", dumptrace.template,
			sizeof(dumptrace.template));
		suffix = "";
	}
	if (tracefile_start_as(to, suffix, dumptrace.number) && !template)
		warn("process %d records a trace; the next request, or the end "
		     "of the process, writes it to %.3000s",
			dumpfile_pid(), tracefile_path());
}

static void take_turns(void *arg UNUSED)
{
	uint32_t n = xchg_relaxed(&dumptrace.wishes, 0);

	for (; n; n--) {
		if (tracefile_running())
			tracefile_stop();
		else
			start(options->dump);
	}
}

static void action(void)
{
	if (!tracefile_running())
		dumptrace.suffix =
			dump_name(ACTION_TRACE, &dumptrace.number);
	add_relaxed(&dumptrace.wishes, 1);
	helper_post(&dumptrace.work);
}

static uint32_t signals(void)
{
	uint32_t set = 0;

	for (unsigned i = 0; i < options->signal.n; i++)
		set |= options->signal.of[i].actions;
	return set;
}

AT_START bool dumptrace_wanted(void)
{
	return (signals() | options->atexit) & ACTION_TRACE;
}

AT_START void dumptrace_init(void)
{
	dump_hook(ACTION_TRACE, action);
}

static void record_until_exit(bool child)
{
	const char *template = options->atexit_out ?: options->dump;

	if (options->atexit_pid &&
		options->atexit_pid != (uint64_t)dumpfile_pid())
		return;
	if (child && template && !sockpath_is_per_process(template))
		return;
	/* Beside what else is written at the end, maybe to the same name. */
	dumptrace.suffix = options->atexit & ~ACTION_TRACE ? ".trace" : "";
	dumptrace.number = 0;
	start(template);
}

void dumptrace_begin(bool child)
{
	if (signals() & ACTION_TRACE && !helper_start())
		warn("action trace: cannot start a thread");
	if (options->atexit & ACTION_TRACE && !tracefile_running())
		record_until_exit(child);
}
