/* SPDX-License-Identifier: MIT */
/*
 * fatal: async-signal-safe last words and warnings.
 *
 * Each line is put together on the stack and leaves with a single write, so
 * that lines of several threads or processes do not interleave.
 */
#include "base/fatal.h"
#include "base/fmt.h"
#include "base/syscall.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void (*fatal_hook)(void);
int (*fatal_stderr_hook)(void);

static void line(const char *format, va_list ap)
{
	char buf[512];
	struct fmt f;

	/* One byte is kept back, so that the line always ends. */
	fmt_init(&f, buf, sizeof(buf) - 1, -1);
	fmt_str(&f, "gostat: ");
	fmt_vprintf(&f, format, ap);
	buf[f.len++] = '\n';
	/* libc's write() is a cancellation point. Failure: nobody to tell. */
	if (sys3(SYS_write, STDERR_FILENO, buf, f.len) == -EBADF &&
		fatal_stderr_hook)
		sys3(SYS_write, fatal_stderr_hook(), buf, f.len);
}

void warn(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(format, ap);
	va_end(ap);
}

void fatal(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	line(format, ap);
	va_end(ap);
	if (fatal_hook)
		fatal_hook();
	abort();
}

void invariant_failed(const char *what, const char *file, int lineno)
{
	fatal("internal error: %s does not hold (%s:%d)", what, file, lineno);
}
