/* SPDX-License-Identifier: MIT */
/*
 * launch: run a command with the library preloaded.
 *
 *	terminal ──SIGINT──▶ both, since they are one process group
 *	kill(1) ──SIGTERM──▶ the tool ──kill()──▶ the command
 *
 * What the kernel sends to the group has reached the command already; only
 * signals that somebody sent to the tool are passed on (si_code says which).
 * Signals that were ignored when the tool started stay ignored in both.
 *
 * To wait for descendants, this process becomes their reaper: a daemon that
 * has forked itself away from its parent becomes our child.
 *
 * Rejected: posix_spawn, because it can't tell a missing file from a missing
 * interpreter on all C libraries; and ptrace, which would be seen.
 */
#include "launch.h"
#include "cli.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char library[] = "libgostat.so";

static volatile pid_t command; /* that signals go to */

char *launch_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = mem_printf(
		"%s/gostat-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");

	if (!mkdtemp(folder)) {
		complain(folder, "%s", strerror(errno));
		free(folder);
		return NULL;
	}
	/* A daemon that gives up root must still be able to leave its report;
	 * names can't be guessed without the right to read. */
	if (geteuid() == 0)
		chmod(folder, 01733);
	return folder;
}

void launch_remove_folder(char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(folder);
	free(folder);
}

/* The folder of this program's file, with a slash. */
static char *own_folder(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return mem_copy("/");
	path[n] = '\0';
	strrchr(path, '/')[1] = '\0';
	return mem_copy(path);
}

/* In the build folder, and where cmake --install puts it. */
static char *find_library(void)
{
	static const char *const places[] = {"", "../" LIBDIR "/", "../lib/"};
	char *own = own_folder(), *found = NULL;

	for (size_t i = 0; i < NELEM(places) && !found; i++) {
		char *path = mem_printf("%s%s%s", own, places[i], library);

		found = realpath(path, NULL);
		free(path);
	}
	if (!found)
		complain(library, "is neither in %s nor in %s../" LIBDIR, own,
			own);
	free(own);
	return found;
}

bool launch_preload(const char *folder)
{
	const char *old = getenv("LD_PRELOAD");
	char *path = find_library(), *list;

	if (!path)
		return false;
	if (strpbrk(path, ": \t\n") && folder) {
		char *link = mem_printf("%s/%s", folder, library);

		if (strpbrk(link, ": \t\n") || symlink(path, link)) {
			complain(path, "the loader can't preload from a path "
				       "with a colon or a space");
			free(link);
			free(path);
			return false;
		}
		free(path);
		path = link;
	}
	list = old && *old ? mem_printf("%s:%s", path, old) : mem_copy(path);
	setenv("LD_PRELOAD", list, 1);
	free(list);
	free(path);
	return true;
}

/* Everybody we have to do with: the command, or what it has left behind. */
static void pass_on(int sig, siginfo_t *info, void *context UNUSED)
{
	int error = errno;

	if (info->si_code <= 0 && command > 0)
		kill(command, sig);
	errno = error;
}

static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
	SIGCONT, SIGWINCH, SIGALRM};

static void catch_signals(void)
{
	for (size_t i = 0; i < NELEM(passed); i++) {
		struct sigaction sa = {.sa_sigaction = pass_on,
			.sa_flags = SA_SIGINFO | SA_RESTART};
		struct sigaction old;

		sigaction(passed[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaction(passed[i], &sa, NULL);
	}
}

static void default_signals(void)
{
	for (size_t i = 0; i < NELEM(passed); i++) {
		struct sigaction old;

		sigaction(passed[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			signal(passed[i], SIG_DFL);
	}
}

static void tell_pid(const char *variable)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", getpid());
	setenv(variable, number, 1);
}

pid_t launch_start(char **argv, const char *pid_variable)
{
	int error = 0, ends[2];
	sigset_t all, old;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	/* No signal gets lost between here and the catching of it. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	catch_signals();
	pid = fork();
	if (pid == 0) {
		default_signals();
		sigprocmask(SIG_SETMASK, &old, NULL);
		if (pid_variable)
			tell_pid(pid_variable);
		execvp(argv[0], argv);
		error = errno;
		if (write(ends[1], &error, sizeof(error)) < 0)
			_exit(STATUS_NOT_EXECUTABLE);
		_exit(STATUS_NOT_FOUND);
	}
	error = errno;
	command = pid;
	close(ends[1]);
	if (pid > 0) {
		ssize_t n = read(ends[0], &error, sizeof(error));

		if (n == (ssize_t)sizeof(error)) {
			waitpid(pid, NULL, 0);
			command = pid = -1;
		}
	}
	close(ends[0]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = error;
	return pid;
}

int launch_wait(pid_t pid, bool all)
{
	int status = 0, other;
	pid_t got;

	if (all)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	command = -1;
	if (!all)
		return status;
	/* Now a signal ends the waiting: the report is of those that ended. */
	default_signals();
	do {
		got = waitpid(-1, &other, 0);
	} while (got > 0 || (got < 0 && errno == EINTR));
	return status;
}

int launch_status(int wait_status)
{
	sigset_t one;
	int sig;

	if (!WIFSIGNALED(wait_status))
		return WEXITSTATUS(wait_status);
	sig = WTERMSIG(wait_status);
	fflush(NULL);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* its core is enough */
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	raise(sig);
	return 128 + sig;
}
