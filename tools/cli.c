/* SPDX-License-Identifier: MIT */
/*
 * cli: from words to a verb, its options and its operands.
 *
 *	gostat [--color=WHEN] VERB [OPTIONS] OPERANDS
 *	          globals[]   cli_verbs[]  verb->options + common[]
 *
 * The tables are all there is to know about the command line: getopt_long's
 * arrays, the help texts and the completion script are made of them, so they
 * can't disagree. Options may follow operands, except where the operands are
 * a command line of somebody else (run, leakcheck): there the first operand
 * ends the options.
 *
 * Rejected: argp. It knows no verbs, and its help can't be told how to wrap.
 */
#include "cli.h"
#include "cli_help.h"
#include "mem.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MAX_OPTIONS = 32, /* of one verb, the common ones included */
	LONG_ONLY = 256,  /* getopt's code for option i without a letter */
};

const struct cli_option cli_common[] = {
	{0, "color", "WHEN", "colour: auto, always or never"},
	{'h', "help", NULL, "this text"},
	{0},
};

const struct cli_option cli_globals[] = {
	{0, "color", "WHEN", "colour: auto, always or never"},
	{'h', "help", NULL, "this text; gostat COMMAND --help for more"},
	{0, "version", NULL, "version, and the libraries that are in"},
	{0},
};

void cli_usage(const struct cli *c, const char *what, const char *why, ...)
{
	va_list ap;

	va_start(ap, why);
	vcomplain(what, why, ap);
	va_end(ap);
	if (c->verb)
		fprintf(stderr, "See: gostat %s --help\n", c->verb->name);
	else
		fputs("See: gostat --help\n", stderr);
	exit(STATUS_ERROR);
}

/* Letters to insert, remove or replace to make b of a (Levenshtein). */
static unsigned distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	unsigned row[LONGEST + 1], n = (unsigned)strlen(b);

	if (n > LONGEST)
		return LONGEST;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (; *a; a++) {
		unsigned diagonal = row[0]++;

		for (unsigned j = 1; j <= n; j++) {
			unsigned up = row[j];

			row[j] = MIN(MIN(up, row[j - 1]) + 1,
				diagonal + (*a != b[j - 1]));
			diagonal = up;
		}
	}
	return row[n];
}

/* A beginning counts as near, else up to a third of the letters may be off. */
static bool nearer(const char *word, const char *name, unsigned *best)
{
	size_t n = strlen(word);
	unsigned d =
		n > 1 && !strncmp(word, name, n) ? 1 : distance(word, name);

	if (d >= *best || d > 1 + strlen(name) / 3)
		return false;
	*best = d;
	return true;
}

static NORETURN void unknown_verb(const struct cli *c, const char *word)
{
	const char *hint = NULL;
	unsigned best = UINT32_MAX;

	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		if (nearer(word, (*v)->name, &best))
			hint = (*v)->name;
	if (hint)
		cli_usage(c, word, "no such command; did you mean %s?", hint);
	cli_usage(c, word, "no such command");
}

/* What getopt needs, made of one or two tables. */
struct parser {
	char letters[3 + 2 * MAX_OPTIONS];
	struct option longs[MAX_OPTIONS + 1];
	const struct cli_option *of[MAX_OPTIONS];
	unsigned n;
};

static void parser_add(struct parser *p, const struct cli_option *table)
{
	char *end = p->letters + strlen(p->letters);

	for (const struct cli_option *o = table; o && o->name; o++) {
		p->longs[p->n] = (struct option){o->name,
			o->arg ? required_argument : no_argument, NULL,
			LONG_ONLY + (int)p->n};
		p->of[p->n++] = o;
		if (o->letter) {
			*end++ = o->letter;
			if (o->arg)
				*end++ = ':';
		}
	}
	*end = '\0';
}

static const struct cli_option *parser_find(const struct parser *p, int code)
{
	if (code >= LONG_ONLY)
		return p->of[code - LONG_ONLY];
	for (unsigned i = 0; i < p->n; i++)
		if (p->of[i]->letter == code)
			return p->of[i];
	return NULL;
}

static NORETURN void wrong_option(const struct cli *c, const struct parser *p,
	const char *word, bool lacks_value)
{
	char letter[] = {'-', (char)optopt, '\0'};
	const char *what = optopt && optopt < LONG_ONLY ? letter : word;
	const char *hint = NULL;
	unsigned best = UINT32_MAX;

	if (lacks_value)
		cli_usage(c, what, "needs a value");
	if (optopt >= LONG_ONLY)
		cli_usage(c, word, "takes no value");
	if (!strncmp(what, "--", 2)) {
		char *name = mem_copy_n(what + 2, strcspn(what + 2, "="));

		for (unsigned i = 0; i < p->n; i++)
			if (nearer(name, p->of[i]->name, &best))
				hint = p->of[i]->name;
		free(name);
	}
	if (hint)
		cli_usage(c, what, "no such option; did you mean --%s?", hint);
	cli_usage(c, what, "no such option");
}

static void take(struct cli *c, const struct cli_option *o, const char *value)
{
	static const char *const when[] = {"auto", "always", "never", NULL};

	c->given = mem_grow(c->given, c->ngiven, sizeof(*c->given));
	c->given[c->ngiven++] = (struct cli_given){o, value ? value : ""};
	if (!strcmp(o->name, "color"))
		c->color = cli_choice(c, "color", COLOR_AUTO, when);
}

/* Options from argv[1] on; afterwards argv[0] is the first operand. */
static void parse(struct cli *c, struct parser *p, int argc, char **argv)
{
	int code;

	opterr = 0;
	optind = 0;
	while ((code = getopt_long(argc, argv, p->letters, p->longs, NULL)) !=
		-1) {
		if (code == '?' || code == ':')
			wrong_option(c, p, argv[optind - 1], code == ':');
		take(c, parser_find(p, code), optarg);
	}
	c->argc = argc - optind;
	c->argv = argv + optind;
}

static int run_verb(struct cli *c)
{
	struct parser p = {.letters = ":"};

	for (const struct cli_verb *const *v = cli_verbs; *v; v++)
		if (!strcmp((*v)->name, c->argv[0]))
			c->verb = *v;
	if (!c->verb)
		unknown_verb(c, c->argv[0]);
	if (c->verb->command)
		strcpy(p.letters, "+:");
	parser_add(&p, c->verb->options);
	parser_add(&p, cli_common);
	parse(c, &p, c->argc, c->argv);
	if (cli_get(c, "help")) {
		cli_help_verb(c->verb);
		return STATUS_OK;
	}
	return c->verb->run(c);
}

int cli_main(int argc, char **argv)
{
	struct cli c = {0};
	struct parser p = {.letters = "+:"};
	int status = STATUS_OK;

	parser_add(&p, cli_globals);
	parse(&c, &p, argc, argv);
	if (cli_get(&c, "help"))
		cli_help();
	else if (cli_get(&c, "version"))
		cli_print_version();
	else if (!c.argc)
		cli_usage(&c, "command", "none is given");
	else
		status = run_verb(&c);
	free(c.given);
	if (fflush(stdout) || ferror(stdout)) {
		complain("standard output", "%s", strerror(errno));
		return status ? status : STATUS_ERROR;
	}
	return status;
}

const char *cli_get(const struct cli *c, const char *name)
{
	for (unsigned i = c->ngiven; i--;)
		if (!strcmp(c->given[i].option->name, name))
			return c->given[i].value;
	return NULL;
}

static bool number(const char *s, uint64_t lo, uint64_t hi, uint64_t *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 10);
	return *s >= '0' && *s <= '9' && !*end && !errno && *v >= lo &&
	       *v <= hi;
}

uint64_t cli_number(const struct cli *c, const char *name, uint64_t dflt,
	uint64_t lo, uint64_t hi)
{
	const char *value = cli_get(c, name);
	uint64_t v;

	if (!value)
		return dflt;
	if (!number(value, lo, hi, &v))
		cli_usage(c, name, "%s is not a number from %lu to %lu", value,
			(unsigned long)lo, (unsigned long)hi);
	return v;
}

int cli_pid(const struct cli *c)
{
	uint64_t v;

	if (c->argc != 1)
		cli_usage(c, c->verb->name,
			c->argc ? "one process at a time" : "which process?");
	if (!number(c->argv[0], 1, INT32_MAX, &v))
		cli_usage(c, c->argv[0], "is no process id");
	return (int)v;
}

unsigned cli_choice(const struct cli *c, const char *name, unsigned dflt,
	const char *const words[])
{
	const char *value = cli_get(c, name);
	struct buf list = {0};

	if (!value)
		return dflt;
	for (unsigned i = 0; words[i]; i++) {
		if (!strcmp(value, words[i]))
			return i;
		buf_printf(&list, "%s%s",
			!i	       ? ""
			: words[i + 1] ? ", "
				       : " or ",
			words[i]);
	}
	cli_usage(c, name, "'%s' is not %s", value, list.data);
}

bool cli_color(const struct cli *c, int fd)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	if (c->color != COLOR_AUTO)
		return c->color == COLOR_ALWAYS;
	return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb");
}
