/* SPDX-License-Identifier: MIT */
/*
 * exit: ways out of a process by its own will, where leaks are looked for.
 *
 *	return from main, exit(), the last thread ends	our last exit handler
 *	quick_exit()					our last one of those
 *	_exit(), _Exit(), syscall(SYS_exit_group)	here
 *	syscall(SYS_exit) of the last thread		here
 *	abort(), signals				deadly.c
 *	exec						exec.c
 *
 * The handler was registered before everybody else's and before the loader's,
 * so it runs when all destructors have: what they free is freed.
 *
 * libc will write out its buffers after the last handler and end with the
 * status that exit() was called with. To replace that status exit() is called
 * again, from the handler: libc goes on where it was, with nothing left to run,
 * and with the new status. Called by its address: in this library it would be
 * a mistake anywhere else.
 *
 * A thread that ends by a system call is none of libc's business, and no handler
 * runs when it was the last. It is, if the kernel knows no other but ours, and
 * perhaps a first one that is dead. Two that leave at the same moment may each
 * see the other; then nobody has looked.
 *
 * What GOSTAT_ATEXIT asks for is done on the way, and the socket's name goes.
 * Without variables _exit() does what libc's does, a system call.
 */
#include "preload/exit.h"
#include "base/fmt.h"
#include "base/options.h"
#include "base/syscall.h"
#include "os/procfile.h"
#include "os/sandbox.h"
#include "os/tasks.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"
#include "preload/serve.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void (*libc_exit)(int status);

static NORETURN void end(int status)
{
	for (;;)
		sys1(SYS_exit_group, status);
}

void exit_after_handlers(void)
{
	int status = leakcheck_end();

	if (status >= 0 && libc_exit)
		libc_exit(status);
}

void exit_after_quick_handlers(void)
{
	int status = leakcheck_end();

	if (status >= 0)
		end(status);
}

API void _exit(int status)
{
	int other;

	preload_exits();
	other = leakcheck_end();
	end(other >= 0 ? other : status);
}

API SAME_AS(_exit)
void _Exit(int status);

static bool matters(void)
{
	return !sandboxed && (leakcheck_on() || options->atexit ||
				     options->verbose || serve_needed());
}

/* /proc/self is its own while it lives. */
static bool is_dead(int pid)
{
	char path[32], stat[256];
	const char *state;
	struct fmt f;

	fmt_init(&f, path, sizeof(path), -1);
	fmt_printf(&f, "/proc/self/task/%d/stat", pid);
	procfile_read(fmt_cstr(&f), stat, sizeof(stat));
	state = strrchr(stat, ')');
	return state && state[1] == ' ' && state[2] == 'Z';
}

static bool is_last(int tid, int pid)
{
	struct tasks t;
	bool alone = tasks_open(&t);

	for (int other; alone && (other = tasks_next(&t));)
		alone = other == tid || (other == pid && is_dead(pid));
	tasks_close(&t);
	return alone;
}

void exit_of_thread(int status)
{
	int tid, pid, other;

	if (!matters())
		return;
	tid = (int)sys0(SYS_gettid);
	pid = (int)sys0(SYS_getpid);
	if (!is_last(tid, pid))
		return;
	preload_exits();
	other = leakcheck_end();
	if (other >= 0)
		end(other);
	/* Ours would go on without it. */
	if (tasks_hidden())
		end(status);
}

void exit_init(void)
{
	if (leakcheck_on())
		libc_exit = (void (*)(int))dlsym(RTLD_NEXT, "exit");
}
