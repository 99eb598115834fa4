/* SPDX-License-Identifier: MIT */
/*
 * symbolize MODULE BUILD-ID|- [OFFSET:]ADDRESS...: what the symbolizer says, in
 * the format of addr2line -i -f -C -a; OFFSET:n is an offset in the file.
 */
#include "symbolize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(struct symbols s)
{
	for (size_t i = 0; i < s.n; i++) {
		const struct symbol *f = &s.of[i];

		printf("%s\n%s:%u\n", *f->function ? f->function : "??",
			f->file ? f->file : "??", f->line);
		if (f->inlined != (i + 1 < s.n))
			exit(1);
	}
	if (!s.n)
		printf("??\n??:0\n");
}

int main(int argc, char **argv)
{
	struct symbolizer *s = symbolizer_new(NULL);
	struct module *m;

	if (argc < 3)
		return 2;
	m = symbolizer_module(s, argv[1], strcmp(argv[2], "-") ? argv[2] : "");
	if (m != symbolizer_module(
			 s, argv[1], strcmp(argv[2], "-") ? argv[2] : ""))
		return 1;
	if (module_problem(m))
		fprintf(stderr, "%s\n", module_problem(m));
	for (int i = 3; i < argc; i++) {
		bool offset = !strncmp(argv[i], "OFFSET:", 7);
		uint64_t a = strtoull(argv[i] + (offset ? 7 : 0), NULL, 16);

		if (offset)
			a = module_address(m, a);
		printf("0x%016lx\n", (unsigned long)a);
		print(module_symbols(m, a));
	}
	symbolizer_free(s);
	return 0;
}
