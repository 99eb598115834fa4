/* SPDX-License-Identifier: MIT */
/* A library whose constructor never returns: it holds the loader's lock. */
#include <unistd.h>

extern volatile int loading;

__attribute__((constructor)) static void stay(void)
{
	loading = 1;
	for (;;)
		pause();
}
