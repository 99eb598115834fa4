// SPDX-License-Identifier: MIT
/*
 * launch FD LIBRARY TIMES CMD ARGS...: run a program and say what it cost.
 *
 * CMD runs TIMES times with LD_PRELOAD=LIBRARY ("-": none), and for each run
 * one line goes to the descriptor FD, which CMD does not inherit:
 *
 *	STATUS WALL_NS USER_US SYS_US PEAK_KIB
 *
 * STATUS is the exit status, or 128 plus the signal. A program of its own,
 * because ru_maxrss survives exec: a child started by an interpreter would
 * begin with the interpreter's peak. This one is small, does not allocate, and
 * is never preloaded itself.
 */
#include "bench.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t micros(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

static void run(int fd, const char *library, char **cmd)
{
	uint64_t start = wall_ns();
	pid_t pid = fork();
	struct rusage ru;
	int st, code;

	if (pid < 0)
		bench_fail("fork");
	if (!pid) {
		if (strcmp(library, "-"))
			setenv("LD_PRELOAD", library, 1);
		execvp(cmd[0], cmd);
		_exit(127);
	}
	while (wait4(pid, &st, 0, &ru) < 0)
		;
	code = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
	dprintf(fd, "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %ld\n", code,
		wall_ns() - start, micros(ru.ru_utime), micros(ru.ru_stime),
		ru.ru_maxrss);
}

int main(int argc, char **argv)
{
	size_t times;
	int fd;

	if (argc < 5)
		bench_fail("usage: launch FD LIBRARY TIMES CMD ARGS...");
	fd = (int)bench_number(argv[1], "descriptor?");
	times = bench_number(argv[3], "times?");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC))
		bench_fail("descriptor is not open");
	for (size_t i = 0; i < times; i++)
		run(fd, argv[2], argv + 4);
	return 0;
}
