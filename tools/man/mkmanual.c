/* SPDX-License-Identifier: MIT */
/*
 * mkmanual FILE.in: the manual page on stdout, where the line @VARIABLES@ has
 * become a list of all variables, from the options table. Runs at build time.
 */
#include "base/options.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 76 };

/* One word, so that mdoc takes it as it stands: no request, no escape. */
static void word(const char *s, size_t n, bool first)
{
	if (first && (*s == '.' || *s == '\''))
		fputs("\\&", stdout);
	for (; n--; s++)
		if (*s == '\\')
			fputs("\\e", stdout);
		else
			putchar(*s);
}

/* Lines of at most WIDTH bytes; each sentence begins a new one. */
static void text(const char *s)
{
	size_t at = 0;

	while (*s) {
		size_t n = strcspn(s, " ");
		bool ends = s[n] && n && strchr(".;", s[n - 1]);

		if (at && at + 1 + n > WIDTH) {
			putchar('\n');
			at = 0;
		} else if (at) {
			putchar(' ');
			at++;
		}
		word(s, n, !at);
		at += n;
		s += n + strspn(s + n, " ");
		if (ends) {
			putchar('\n');
			at = 0;
		}
	}
}

static void variable(const struct option_row *r)
{
	printf(".It Ev %s\n", r->name);
	text(r->help);
	printf(".\nAccepted:\n");
	text(r->accepted);
	if (*r->dflt) {
		printf(".\nDefault:\n.Ql ");
		text(r->dflt);
		puts(" .");
	} else {
		puts(".");
	}
}

int main(int argc, char **argv)
{
	FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (!in)
		return 1;
	while (fgets(line, sizeof(line), in))
		if (strcmp(line, "@VARIABLES@\n"))
			fputs(line, stdout);
		else
			for (unsigned i = 0; i < noption_rows; i++)
				variable(&option_rows[i]);
	fclose(in);
	return fflush(stdout) || ferror(stdout);
}
