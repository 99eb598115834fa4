/* SPDX-License-Identifier: MIT */
/*
 * exit: ways out of a process by its own will, where leaks are looked for.
 *
 *	return from main, exit(), the last thread ends	our last exit handler
 *	quick_exit()					our last one of those
 *	_exit(), _Exit(), syscall(SYS_exit_group)	here
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
 * What GOSTAT_ATEXIT asks for is done on the way, and the socket's name goes.
 * Without variables _exit() does what libc's does, a system call, and syscall()
 * is libc's.
 */
#include "preload/exit.h"
#include "base/syscall.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"

#include <dlfcn.h>
#include <stdlib.h>
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

/* In place of libc's syscall() under leakcheck; it has no such wrapper. */
static long on_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	if (n == SYS_exit_group)
		_exit((int)a);
	if (n == SYS_execve)
		return execve((const char *)a, (char *const *)b,
			(char *const *)c);
	return limits_syscall(n, a, b, c, d, e, f);
}

void exit_init(void)
{
	if (!leakcheck_on())
		return;
	libc_exit = (void (*)(int))dlsym(RTLD_NEXT, "exit");
	limits_hook(on_syscall);
}
