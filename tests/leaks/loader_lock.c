/* SPDX-License-Identifier: MIT */
/*
 * Leaks are looked for while another thread is inside dlopen, and will be for
 * ever.
 *
 * truth: keep | clean
 * truth: drop | 1/4242
 */
#include "plugin.h"

#include <pthread.h>

volatile int loading;
void *root;

static void *thread(void *arg)
{
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

	MUST(n > 0);
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "loader_lock_lib.so");
	dlopen(path, RTLD_NOW);
	MUST(!"dlopen has returned");
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	put(&root, make(MARKER), 0);
	if (said(argc, argv, "drop"))
		root = NULL;
	clobber();
	MUST(!pthread_create(&t, NULL, thread, NULL));
	while (!loading)
		;
	now();
	_exit(0); /* exit's destructors would wait for the loader */
}
