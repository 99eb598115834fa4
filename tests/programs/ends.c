/* SPDX-License-Identifier: MIT */
/*
 * ends: the ways out of a process, with handlers that still use the heap.
 *
 *	ends abort|segv|exit|quick|_exit|thread|last|exec
 */
#include "work.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void at_exit(void)
{
	printf("at exit: %d\n", work(4, 2000) != 0);
}

static void at_quick_exit_(void)
{
	printf("at quick exit: %d\n", work(4, 2000) != 0);
	fflush(stdout);
}

static void __attribute__((destructor)) destructor(void)
{
	printf("destructor: %d\n", work(5, 2000) != 0);
}

static void *ending(void *arg)
{
	usleep(20000);
	printf("thread: %d\n", work(6, 2000) != 0);
	if (arg)
		exit(12);
	return NULL;
}

static void by_thread(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, ending, arg);
	pthread_detach(t);
	free(malloc(100));
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char *kept = malloc(1000);

	setvbuf(stdout, NULL, _IONBF, 0);
	atexit(at_exit);
	at_quick_exit(at_quick_exit_);
	if (work(1, 2000) == 0)
		return 99;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(how, "quick") == 0)
		quick_exit(10);
	if (strcmp(how, "_exit") == 0)
		_exit(11);
	if (strcmp(how, "thread") == 0)
		by_thread(kept);
	if (strcmp(how, "last") == 0)
		by_thread(NULL);
	if (strcmp(how, "exec") == 0)
		execl("/bin/echo", "echo", "executed", (char *)NULL);
	return 13;
}
