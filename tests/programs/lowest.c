/* SPDX-License-Identifier: MIT */
/*
 * lowest: open() returns the lowest number that is free, and programs rely on
 * it. The heap grows meanwhile, for those who have things to do then.
 */
#include "work.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { ROUNDS = 600, OPENS = 200, BLOCKS = 120, BLOCK = 800 };

static char *block[ROUNDS][BLOCKS];

int main(void)
{
	int other = 0, lowest = open("/dev/null", O_RDONLY);

	close(lowest);
	for (int i = 0; i < ROUNDS; i++) {
		for (int k = 0; k < BLOCKS; k++)
			block[i][k] = malloc(BLOCK);
		for (int k = 0; k < OPENS; k++) {
			int fd = open("/dev/null", O_RDONLY);

			other += fd != lowest;
			close(fd);
		}
	}
	printf("%d other than %d\n", other, lowest);
	return other != 0;
}
