/* SPDX-License-Identifier: MIT */
/*
 * What libc keeps for itself is no leak: buffers, environments, locales,
 * directories, exit handlers, a thread's stack and its dlerror; nor what the
 * loader keeps.
 *
 * truth: | clean stdout=x
 * truth: thread | clean stdout=x
 */
#include "plugin.h"

#include <dirent.h>
#include <locale.h>
#include <pthread.h>
#include <pwd.h>
#include <time.h>

FILE *file;
DIR *dir;

static void nothing(void)
{
}

static void *use(void *arg)
{
	MUST(!dlopen("/nonexistent", RTLD_NOW));
	MUST(dlerror());
	MUST(!dlopen("/nonexistent", RTLD_NOW));
	setenv("TRUTH_SOME", "value", 1);
	setenv("TRUTH_SOME", "another value", 1);
	setlocale(LC_ALL, "C.UTF-8");
	tzset();
	(void)strerror(12345);
	getpwuid(0);
	file = fopen("/proc/self/maps", "r");
	MUST(file && fgetc(file) != EOF);
	dir = opendir("/");
	MUST(dir && readdir(dir));
	for (int i = 0; i < 100; i++)
		atexit(nothing);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	plugin_load();
	if (said(argc, argv, "thread")) {
		MUST(!pthread_create(&t, NULL, use, NULL));
		pthread_join(t, NULL);
	} else {
		use(NULL);
	}
	printf("x\n");
	clobber();
	now();
	return 0;
}
