/* SPDX-License-Identifier: MIT */
/*
 * LSAN_OPTIONS, one root at a time switched off.
 *
 * truth: stack | clean
 * truth: stack | 1/4242 env=LSAN_OPTIONS=use_stacks=0
 * truth: tls | clean
 * truth: tls | 1/4242 env=LSAN_OPTIONS=use_tls=0
 * truth: key | clean
 * truth: key | 1/4242 env=LSAN_OPTIONS=use_tls=0
 * truth: leak | unchecked env=LSAN_OPTIONS=detect_leaks=0 modes=exit,strict
 * truth: leak | unchecked env=LSAN_OPTIONS=leak_check_at_exit=0 modes=exit
 * truth: leak | 1/4242 status=0 env=LSAN_OPTIONS=exitcode=0
 */
#include "truth.h"

#include <pthread.h>

static __thread void *tls;
static pthread_key_t key;

static NOINLINE void set(cookie c)
{
	pthread_setspecific(key, reveal(c));
}

static NOINLINE void finish(void)
{
	clobber();
	now();
	exit(0);
}

int main(int argc, char **argv)
{
	void *volatile local = NULL;
	cookie c = make(MARKER);

	MUST(!pthread_key_create(&key, NULL));
	if (said(argc, argv, "stack"))
		put((void *)&local, c, 0);
	if (said(argc, argv, "tls"))
		put(&tls, c, 0);
	if (said(argc, argv, "key"))
		set(c);
	finish();
	return local != NULL;
}
