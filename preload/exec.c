/* SPDX-License-Identifier: MIT */
/*
 * exec: a process that becomes another program leaves its memory behind.
 *
 *	execl execle execv -----> execve ----> leaks? --> the kernel
 *	execlp execvp execvpe --------------> leaks? --> libc
 *	fexecve execveat -------------------> leaks? --> libc
 *
 * Nothing can be said after an exec, so it is said before; and only if the exec
 * is going to work as far as one can see, because shells try one folder of
 * PATH after the other. If it fails all the same the report is taken back.
 *
 * Children of vfork are in their parent's memory and have nothing to say but
 * what they become: spawn.c. posix_spawn(), system() and popen() do not even
 * come by here.
 *
 * A cycle that another thread runs has a copy of the process for a child, and
 * the new program is not to find it: it is ended, whether or not leaks are
 * looked for. Nor may another cycle begin: a signal that is sent to a thread
 * after it has entered exec arrives when its handler is gone.
 */
#include "preload/exit.h"
#include "base/syscall.h"
#include "gc/gc.h"
#include "os/sandbox.h"
#include "preload/interpose.h"
#include "preload/leakcheck.h"
#include "preload/spawn.h"

#include <alloca.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	int (*execve)(const char *path, char *const argv[], char *const envp[]);
	int (*execvpe)(
		const char *file, char *const argv[], char *const envp[]);
	int (*fexecve)(int fd, char *const argv[], char *const envp[]);
	int (*execveat)(int dir, const char *path, char *const argv[],
		char *const envp[], int flags);
} next;

static void *find(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void exec_init(void)
{
	if (next.execve)
		return;
	next.execvpe = (int (*)(const char *, char *const[], char *const[]))
		find("execvpe");
	next.fexecve =
		(int (*)(int, char *const[], char *const[]))find("fexecve");
	next.execveat = (int (*)(int, const char *, char *const[],
		char *const[], int))find("execveat");
	next.execve = (int (*)(const char *, char *const[], char *const[]))
		find("execve");
}

/* -------- will it work? -------- */

/* path may be any pointer: the kernel knows how to say no. */
static bool runs(int dir, const char *path, int flags)
{
	struct stat st;

	return !sandboxed && !sys_failed(sys4(SYS_newfstatat, dir, path, &st, flags)) &&
	       S_ISREG(st.st_mode) &&
	       (flags || !sys_failed(sys3(SYS_faccessat, dir, path, X_OK)));
}

/* As execvp looks for it. */
static bool runs_from_path(const char *file)
{
	const char *list = getenv("PATH"), *end;
	char path[4096];

	if (strchr(file, '/'))
		return runs(AT_FDCWD, file, 0);
	if (!list)
		list = "/bin:/usr/bin";
	for (;; list = end + 1) {
		size_t n;

		end = strchrnul(list, ':');
		n = (size_t)(end - list);
		if (n + 1 + strlen(file) < sizeof(path)) {
			memcpy(path, list, n);
			path[n] = '/';
			strcpy(path + n + (n > 0), file);
			if (runs(AT_FDCWD, path, 0))
				return true;
		}
		if (!*end)
			return false;
	}
}

/* -------- around it -------- */

struct leaving {
	bool held; /* the world can't be stopped meanwhile */
	char note[DUMPFILE_PATH_MAX];
};

static void leave(struct leaving *l, bool works, const char *file)
{
	exec_init();
	l->held = false;
	l->note[0] = '\0';
	if (sandboxed)
		return;
	if (works && leakcheck_on()) {
		file = file ? file : "(a file that was open)";
		if (leakcheck_is_here())
			leakcheck_exec(file);
		else
			spawn_note((int)sys0(SYS_getpid), file, l->note);
	}
	l->held = gc_preexec();
}

/* We are still here. errno is as libc has left it. */
static int stay(const struct leaving *l, int ret)
{
	gc_exec_failed(l->held);
	leakcheck_undo();
	spawn_forget(l->note);
	return ret;
}

API int execve(const char *path, char *const argv[], char *const envp[])
{
	struct leaving l;

	leave(&l, runs(AT_FDCWD, path, 0), path);
	return stay(&l, next.execve(path, argv, envp));
}

API int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct leaving l;

	leave(&l, runs_from_path(file), file);
	return stay(&l, next.execvpe(file, argv, envp));
}

API int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct leaving l;

	leave(&l, runs(fd, "", AT_EMPTY_PATH), NULL);
	return stay(&l, next.fexecve(fd, argv, envp));
}

API int execveat(int dir, const char *path, char *const argv[],
	char *const envp[], int flags)
{
	struct leaving l;

	leave(&l, runs(dir, path, flags & AT_EMPTY_PATH),
		flags & AT_EMPTY_PATH ? NULL : path);
	return stay(&l, next.execveat(dir, path, argv, envp, flags));
}

API int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

API int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* -------- with the arguments one by one -------- */

/* How many there are before the NULL. */
static size_t count(const char *first, va_list *ap)
{
	size_t n = 0;

	for (; first; n++)
		first = va_arg(*ap, const char *);
	return n;
}

static void take(char **argv, const char *first, va_list *ap)
{
	for (*argv = (char *)first; *argv++;)
		*argv = va_arg(*ap, char *);
}

/* argv on the caller's stack; ap ends up behind its NULL. */
#define TAKE(argv, first, ap)                                                  \
	do {                                                                   \
		va_start(ap, first);                                           \
		(argv) = alloca((count(first, &(ap)) + 1) * sizeof(char *));   \
		va_end(ap);                                                    \
		va_start(ap, first);                                           \
		take(argv, first, &(ap));                                      \
	} while (0)

API int execl(const char *path, const char *first, ...)
{
	char **argv;
	va_list ap;

	TAKE(argv, first, ap);
	va_end(ap);
	return execve(path, argv, environ);
}

API int execlp(const char *file, const char *first, ...)
{
	char **argv;
	va_list ap;

	TAKE(argv, first, ap);
	va_end(ap);
	return execvpe(file, argv, environ);
}

API int execle(const char *path, const char *first, ...)
{
	char **argv, **envp;
	va_list ap;

	TAKE(argv, first, ap);
	envp = va_arg(ap, char **);
	va_end(ap);
	return execve(path, argv, envp);
}
