/* SPDX-License-Identifier: MIT */
/*
 * boxed: enters an empty chroot, as privilege-separated servers do, where
 * there is no /proc, no /dev and no library, and goes on working.
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
	int status;
	pid_t pid;

	if (argc < 2 || chroot(argv[1]) != 0 || chdir("/") != 0) {
		perror("chroot");
		return 1;
	}
	printf("%d\n", access("/proc", F_OK));
	if (work(1, 20000) == 0 || pthread_create(&t, NULL, run, NULL) != 0)
		return 2;
	pthread_join(t, &bad);
	pid = fork();
	if (pid == 0)
		_exit(work(3, 3000) ? 7 : 8);
	waitpid(pid, &status, 0);
	printf("%d %d %d\n", bad == NULL, WEXITSTATUS(status),
		open("/left", O_CREAT | O_WRONLY, 0600));
	return 0;
}
