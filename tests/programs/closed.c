/* SPDX-License-Identifier: MIT */
/*
 * closed: a daemon's start. Closes every descriptor up to 1023, goes on with
 * heap, threads and children, and then opens files: they must get the numbers
 * 0, 1, 2 …, since nobody but the program holds a descriptor. Tells what it
 * saw in the file named by its argument.
 */
#include "work.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *run(void *arg)
{
	(void)arg;
	return work(2, 3000) ? NULL : (void *)1;
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *bad;
	int fd[3], status;
	pid_t pid;

	for (int i = 0; i < 1024; i++)
		close(i);
	if (argc < 2 || work(1, 5000) == 0 ||
		pthread_create(&t, NULL, run, NULL) != 0)
		return 1;
	pthread_join(t, &bad);
	if (bad)
		return 2;
	pid = fork();
	if (pid == 0)
		_exit(open("/dev/null", O_RDONLY) + 40);
	waitpid(pid, &status, 0);
	fd[0] = open(argv[1], O_CREAT | O_WRONLY | O_TRUNC, 0644);
	fd[1] = open("/dev/null", O_RDONLY);
	fd[2] = dup(fd[1]);
	dprintf(fd[0], "%d %d %d, child %d\n", fd[0], fd[1], fd[2],
		WEXITSTATUS(status));
	return work(1, 5000) == 0;
}
