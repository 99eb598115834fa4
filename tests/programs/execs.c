/* SPDX-License-Identifier: MIT */
/*
 * execs: children that use much memory and become another program at once, as
 * those of a shell do. Whoever signals their threads must not hit the program
 * that follows, which has no handlers.
 */
#include "work.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 400, BLOCKS = 1500, BLOCK = 1000, ROUND = 20 };

static int grow(unsigned n)
{
	int sum = 0;

	for (unsigned i = 0; i < n; i++) {
		char *p = malloc(BLOCK);

		if (!p)
			return -1;
		memset(p, (int)i, BLOCK);
		sum += p[i % BLOCK];
	}
	return sum;
}

int main(void)
{
	int bad = 0;

	for (unsigned i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			grow(BLOCKS);
			/* Now later, now sooner, so that all moments are met.
			 */
			for (unsigned k = 0; k < i % 100; k++)
				grow(ROUND);
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0) {
			printf("child %u: status %x\n", i, (unsigned)status);
			bad++;
		}
	}
	printf("%d of %d\n", bad, CHILDREN);
	return bad != 0;
}
