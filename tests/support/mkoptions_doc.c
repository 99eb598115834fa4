/* SPDX-License-Identifier: MIT */
/*
 * mkoptions_doc: docs/options.md from the options table.
 *
 *	mkoptions_doc          prints the page
 *	mkoptions_doc FILE     exit status 1 and a line if FILE is not that page
 */
#include "base/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
	"# Environment variables\n"
	"\n"
	"Written by scripts/mkoptions-doc from runtime/base/options.def; "
	"change it there.\n"
	"\n"
	"All are read once at load, and ignored in a secure-execution (setuid) "
	"process. An\n"
	"empty value counts as unset. A value that can't be parsed gives one "
	"line on stderr and\n"
	"the default is used; an unknown `GOSTAT_` name gives one line with "
	"the nearest known one.\n"
	"\n"
	"| variable | default | accepted | meaning |\n"
	"| --- | --- | --- | --- |\n";

static void cell(FILE *out, const char *text, const char *quote)
{
	fprintf(out, " %s", quote);
	for (; *text; text++) {
		if (*text == '|')
			fputc('\\', out);
		fputc(*text, out);
	}
	fprintf(out, "%s |", quote);
}

static void page(FILE *out)
{
	fputs(head, out);
	for (unsigned i = 0; i < noption_rows; i++) {
		const struct option_row *r = &option_rows[i];

		fputc('|', out);
		cell(out, r->name, "`");
		if (*r->dflt)
			cell(out, r->dflt, "`");
		else
			fputs(" |", out);
		cell(out, r->accepted, "");
		cell(out, r->help, "");
		fputc('\n', out);
	}
}

int main(int argc, char **argv)
{
	char *want, *have;
	size_t size, n;
	FILE *mem = open_memstream(&want, &size), *file;
	bool same;

	page(mem);
	fclose(mem);
	if (argc < 2) {
		n = fwrite(want, 1, size, stdout);
		free(want);
		return n != size;
	}
	have = calloc(1, size + 1);
	file = fopen(argv[1], "r");
	n = file ? fread(have, 1, size + 1, file) : 0;
	same = n == size && !memcmp(have, want, size);
	if (!same)
		fprintf(stderr, "%s is not current: run scripts/mkoptions-doc\n",
			argv[1]);
	if (file)
		fclose(file);
	free(have);
	free(want);
	return !same;
}
