/* SPDX-License-Identifier: MIT */
/*
 * Bytes are what was asked for, by every function and in every size, after
 * whatever realloc has made of it.
 *
 * truth: 0 | 1/0
 * truth: 1 | 1/1
 * truth: 8 | 1/8
 * truth: 16 | 1/16
 * truth: 1000 | 1/1000
 * truth: 4242 | 1/4242
 * truth: 32768 | 1/32768
 * truth: 100000 | 1/100000
 * truth: 33554432 | 1/33554432
 * truth: calloc | 1/4242
 * truth: reallocarray | 1/4200
 * truth: memalign | 1/4242
 * truth: strdup | 1/11 frame0=libc.so.6
 * truth: chain | 1/70000
 * truth: shrink | 1/10
 * truth: inplace | 1/101
 * truth: refused | 1/4242
 * truth: zero | clean
 * truth: refused_kept | clean
 */
#include "truth.h"

#include <malloc.h>

void *root;

static void *volatile p;

static NOINLINE void build(const char *how)
{
	if (how[0] >= '0' && how[0] <= '9') {
		p = malloc((size_t)atol(how));
	} else if (!strcmp(how, "calloc")) {
		p = calloc(2, MARKER / 2);
	} else if (!strcmp(how, "reallocarray")) {
		p = reallocarray(NULL, 42, 100);
	} else if (!strcmp(how, "memalign")) {
		p = memalign(512, MARKER);
	} else if (!strcmp(how, "strdup")) {
		p = strdup("0123456789");
	} else if (!strcmp(how, "chain")) {
		p = malloc(1);
		for (size_t n = 10; n <= 70000; n += 10)
			p = realloc(p, n);
	} else if (!strcmp(how, "shrink")) {
		p = malloc(100000);
		for (size_t n = 100000; n >= 10; n = n * 2 / 3)
			p = realloc(p, n);
		p = realloc(p, 10);
	} else if (!strcmp(how, "inplace")) {
		p = malloc(100);
		p = realloc(p, 101);
	} else if (!strcmp(how, "zero")) {
		p = malloc(MARKER);
		MUST(!realloc(p, 0));
	} else { /* the original stays what and where it was */
		p = malloc(MARKER);
		MUST(!realloc(p, PTRDIFF_MAX));
		if (!strcmp(how, "refused_kept"))
			root = p;
	}
	MUST(p);
	p = NULL;
}

int main(int argc, char **argv)
{
	build(argc > 1 ? argv[1] : "0");
	clobber();
	now();
	return 0;
}
