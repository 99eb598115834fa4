/* SPDX-License-Identifier: MIT */
/*
 * unshared: enters a user namespace after it has used its heap. The kernel
 * refuses that to a process with more than one thread.
 */
#include "work.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	if (work(1, 20000) == 0)
		return 1;
	if (unshare(CLONE_NEWUSER) != 0) {
		perror("unshare");
		return 2;
	}
	printf("%d %d\n", (int)getuid(), work(1, 20000) != 0);
	return 0;
}
