/* SPDX-License-Identifier: MIT */
/*
 * What the program has lent to libc: a string in the environment, a buffer of
 * stdout, an exit handler's argument, a name for openlog, a stream's cookie.
 *
 * truth: keep | clean
 * truth: drop | 1/4242
 */
#define _DEFAULT_SOURCE
#include "truth.h"

#include <syslog.h>

static NOINLINE void lend(cookie c)
{
	char *p = reveal(c);

	memset(p, 'x', MARKER - 1);
	p[6] = '=';
	MUST(!putenv(p));
}

static NOINLINE void take_back(void)
{
	MUST(!unsetenv("xxxxxx"));
}

static NOINLINE void buffer(cookie c)
{
	setvbuf(stdout, reveal(c), _IOFBF, BUFSIZ);
}

static ssize_t take(void *c, const char *buf, size_t n)
{
	(void)c;
	(void)buf;
	return (ssize_t)n;
}

static NOINLINE void stream(cookie c)
{
	FILE *f = fopencookie(
		reveal(c), "w", (cookie_io_functions_t){.write = take});

	MUST(f && fputc('x', f) != EOF);
}

static NOINLINE void name(cookie c)
{
	openlog(strcpy(reveal(c), "truth"), 0, LOG_USER);
}

extern int __cxa_atexit(void (*fn)(void *), void *arg, void *dso);

static void at_exit(void *arg)
{
	free(arg);
}

static NOINLINE void handler(cookie c)
{
	__cxa_atexit(at_exit, reveal(c), NULL);
}

int main(int argc, char **argv)
{
	lend(make(MARKER));
	buffer(make(BUFSIZ));
	stream(make(100));
	name(make(100));
	handler(make(100));
	if (said(argc, argv, "drop"))
		take_back();
	clobber();
	now();
	_exit(0);
}
