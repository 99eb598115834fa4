/* SPDX-License-Identifier: MIT */
/*
 * complain: the form of all errors: who speaks, what it is about, and why.
 */
#include "complain.h"

#include <stdio.h>

void vcomplain(const char *what, const char *why, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "gostat: %s: ", what);
	vfprintf(stderr, why, ap);
	fputc('\n', stderr);
}

void complain(const char *what, const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	vcomplain(what, why, ap);
	va_end(ap);
}
