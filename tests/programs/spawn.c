/* SPDX-License-Identifier: MIT */
/*
 * spawn: the ways of starting a child, from a process whose heap is in use.
 *
 *	spawn vfork|posix_spawn|system|clone
 */
#include "work.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *const echo[] = {"echo", "from", "the", "child", NULL};

static int reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 99;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int by_vfork(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			/* Shared memory: the parent sees a clean heap. */
			free(malloc((size_t)i * 100 + 1));
			if (i == 19)
				execve("/bin/echo", echo, environ);
			_exit(i);
		}
		printf("%d ", reap(pid));
	}
	puts("");
	return 0;
}

static int by_posix_spawn(void)
{
	for (int i = 0; i < 5; i++) {
		pid_t pid;

		if (posix_spawnp(&pid, "echo", NULL, NULL, echo, environ) != 0)
			return 1;
		printf("%d\n", reap(pid));
	}
	return 0;
}

static int by_system(void)
{
	char line[64];
	FILE *f = popen("seq 1 3000 | tail -n 1", "r");

	if (!f || !fgets(line, sizeof(line), f))
		return 1;
	printf("%s%d\n", line, pclose(f));
	printf("%d\n", WEXITSTATUS(system("exit 5")));
	return 0;
}

static int in_clone(void *arg)
{
	(void)arg;
	execve("/bin/echo", echo, environ);
	return 9;
}

static int by_clone(void)
{
	enum { STACK = 65536 };
	char *stack = malloc(STACK);
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	/* Neither fork handlers nor a new thread: libc knows nothing of it. */
	if (pid == 0)
		syscall(SYS_exit_group, work(5, 3000) ? 0 : 1);
	printf("%d\n", reap((pid_t)pid));
	pid = clone(in_clone, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD,
		NULL);
	printf("%d\n", reap((pid_t)pid));
	free(stack);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	uint64_t before = work(3, 5000);
	int status = 2;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (strcmp(how, "vfork") == 0)
		status = by_vfork();
	else if (strcmp(how, "posix_spawn") == 0)
		status = by_posix_spawn();
	else if (strcmp(how, "system") == 0)
		status = by_system();
	else if (strcmp(how, "clone") == 0)
		status = by_clone();
	return before == work(3, 5000) ? status : 50;
}
