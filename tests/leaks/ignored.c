/* SPDX-License-Identifier: MIT */
/*
 * What the program calls no leak: objects with all they lead to, everything
 * that is allocated in a scope, in nested scopes, in a key's destructor.
 *
 * truth: object | clean
 * truth: lsan | clean
 * truth: nothing | 1/100+1/4242
 * truth: freed | 1/4242
 * truth: twice | clean
 * truth: scope | 1/50
 * truth: nested | 1/50
 * truth: lsanscope | 1/50
 * truth: destructor | 1/50
 */
#include "truth.h"

#include <pthread.h>

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
void __lsan_ignore_object(const void *p) __attribute__((weak));

static pthread_key_t key;

static NOINLINE void ignore(cookie c)
{
	gostat_ignore_object(reveal(c));
}

static NOINLINE void lsan_ignore(cookie c)
{
	__lsan_ignore_object(reveal(c));
}

static void destroy(void *p)
{
	free(p);
	gostat_leak_disable();
	make(MARKER);
	gostat_leak_enable();
	make(50);
	clobber();
}

static void *thread(void *arg)
{
	pthread_setspecific(key, malloc(10));
	return arg;
}

static NOINLINE void scopes(const char *how)
{
	if (!strcmp(how, "lsanscope")) {
		__lsan_disable();
		make(MARKER);
		__lsan_enable();
	} else {
		gostat_leak_disable();
		if (!strcmp(how, "nested")) {
			gostat_leak_disable();
			gostat_leak_enable();
		}
		make(MARKER);
		gostat_leak_enable();
	}
	make(50);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "nothing";
	pthread_t t;
	cookie c;

	if (strstr(how, "scope") || !strcmp(how, "nested")) {
		scopes(how);
	} else if (!strcmp(how, "destructor")) {
		MUST(!pthread_key_create(&key, destroy));
		MUST(!pthread_create(&t, NULL, thread, NULL));
		MUST(!pthread_join(t, NULL));
	} else {
		c = make(100);
		tie(c, 16, make(MARKER));
		if (!strcmp(how, "lsan"))
			lsan_ignore(c);
		else if (strcmp(how, "nothing"))
			ignore(c);
		if (!strcmp(how, "twice"))
			ignore(c);
		if (!strcmp(how, "freed")) {
			drop(c);
			ignore(c);
		}
	}
	clobber();
	now();
	return 0;
}
