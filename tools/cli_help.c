/* SPDX-License-Identifier: MIT */
/*
 * cli_help: the tables of the command line, for people and for shells.
 *
 * Help goes to stdout, since it was asked for. Texts wrap at 79 columns,
 * counted in characters of UTF-8, not bytes.
 */
#include "cli_help.h"
#include "base/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 79, INDENT = 26 };

static size_t columns(const char *s, size_t n)
{
	size_t c = 0;

	for (size_t i = 0; i < n; i++)
		c += ((unsigned char)s[i] & 0xc0) != 0x80;
	return c;
}

/* Words of text, beginning at column `at`, later lines at column indent. */
static void wrap(const char *text, size_t at, size_t indent)
{
	bool first = true;

	while (*text) {
		size_t n = strcspn(text, " "), w = columns(text, n);

		if (!first && at + 1 + w > WIDTH) {
			printf("\n%*s", (int)indent, "");
			at = indent;
		} else if (!first) {
			putchar(' ');
			at++;
		}
		printf("%.*s", (int)n, text);
		at += w;
		first = false;
		text += n;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void row(const char *left, const char *help)
{
	size_t w = columns(left, strlen(left));

	printf("  %s", left);
	if (w + 4 > INDENT) {
		putchar('\n');
		w = 0;
		printf("  ");
	}
	printf("%*s", (int)(INDENT - 2 - w), "");
	wrap(help, INDENT, INDENT);
}

static void print_options(const struct cli_option *o)
{
	for (; o && o->name; o++) {
		char left[64], letter[] = {'-', o->letter, ',', ' ', '\0'};

		snprintf(left, sizeof(left), "%s--%s%s%s",
			o->letter ? letter : "    ", o->name, o->arg ? "=" : "",
			o->arg ? o->arg : "");
		row(left, o->help);
	}
}

void cli_help(void)
{
	puts("Usage: gostat [OPTIONS] COMMAND ...\n"
	     "A Go-style memory system under any Linux process.\n");
	puts("Commands:");
	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		row((*v)->name, (*v)->summary);
	puts("\nOptions:");
	print_options(cli_globals);
	puts("\nVariables that libgostat.so reads (libgostat(7)):");
	for (unsigned i = 0; i < noption_rows; i++)
		row(option_rows[i].name, option_rows[i].help);
	puts("\nExit status: 0 fine; 2 wrong usage, or it could not be done; "
	     "3 a check could\nnot run; 23 leaks.");
}

void cli_help_verb(const struct cli_verb *v)
{
	printf("Usage: gostat %s [OPTIONS]%s%s\n", v->name,
		*v->operands ? " " : "", v->operands);
	printf("%c%s.\n", toupper((unsigned char)v->summary[0]),
		v->summary + 1);
	if (v->details)
		printf("\n%s", v->details);
	puts("\nOptions:");
	print_options(v->options);
	print_options(cli_common);
}

static void words(const struct cli_option *o)
{
	for (; o && o->name; o++) {
		printf(" --%s%s", o->name, o->arg ? "=" : "");
		if (o->letter)
			printf(" -%c", o->letter);
	}
}

/*
 * Verbs first, then the verb's options; behind a command line's first operand
 * the other program's own completion. Files are bash's default.
 */
void cli_completion_bash(void)
{
	puts("# bash completion for gostat; made by: gostat completion bash\n"
	     "_gostat()\n{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} verb= i words\n"
	     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in\n"
	     "\t\t-* | = | auto | always | never) ;;\n"
	     "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n"
	     "\t\tesac\n\tdone\n\tcase $verb in");
	printf("\t'') words='");
	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		printf("%s ", (*v)->name);
	words(cli_globals);
	puts("' ;;");
	for (const struct cli_verb *const *v = cli_verbs; *v; v++) {
		printf("\t%s) words='", (*v)->name);
		words((*v)->options);
		words(cli_common);
		puts("' ;;");
	}
	puts("\t*) words= ;;\n\tesac\n"
	     "\tif [[ $verb && $cur != -* ]]; then\n"
	     "\t\tcase $verb in");
	printf("\t\t");
	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		if (!strncmp((*v)->operands, "PID", 3))
			printf("%s | ", (*v)->name);
	puts("-) words=$(gostat list --pids 2>/dev/null) ;;\n"
	     "\t\t*) words= ;;\n\t\tesac\n\tfi\n"
	     "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	     "\t[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n"
	     "}\ncomplete -o default -F _gostat gostat");
}
