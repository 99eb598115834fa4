/* SPDX-License-Identifier: MIT */
/*
 * holder: holds 7 blocks of 5000 bytes, allocated where take() is inlined into
 * hold(); says "ready", and then, for each line of stdin, takes one more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS = 7, MORE = 100, SIZE = 5000 };

static void *held[BLOCKS + MORE];

static inline __attribute__((always_inline)) void *take(void)
{
	char *p = malloc(SIZE);

	memset(p, 'x', SIZE);
	return p;
}

static __attribute__((noipa)) void hold(int i)
{
	held[i] = take();
	__asm__ volatile("" ::: "memory");
}

int main(void)
{
	char c;
	int n = 0;

	while (n < BLOCKS)
		hold(n++);
	if (write(1, "ready\n", 6) != 6)
		return 1;
	while (n < BLOCKS + MORE && read(0, &c, 1) == 1) {
		hold(n++);
		if (write(1, "more\n", 5) != 5)
			return 1;
	}
	return 0;
}
