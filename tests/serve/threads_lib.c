/* SPDX-License-Identifier: MIT */
/* A library that takes its time to load: meanwhile the loader's lock is held. */
#include <unistd.h>

void threads_lib_loads(void);

__attribute__((constructor, noinline)) void threads_lib_loads(void)
{
	sleep(1000);
	__asm__ volatile("");
}
