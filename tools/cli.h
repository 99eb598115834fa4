/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_CLI_H
#define GOSTAT_TOOLS_CLI_H

/*
 * The command line: a table of verbs, each with a table of options. Parsing,
 * --help and shell completion follow from them.
 */

#include "base/attrs.h"
#include "complain.h"

/* Exit statuses. Those of findings are the verbs' own. */
enum {
	STATUS_OK = 0,
	STATUS_ERROR = 2,     /* wrong usage; could not do what was asked */
	STATUS_UNCHECKED = 3, /* a check could not run */
	STATUS_LEAKS = 23,
	STATUS_NOT_EXECUTABLE = 126, /* as shells have it */
	STATUS_NOT_FOUND = 127,
};

struct cli_option {
	char letter; /* '\0': none */
	const char
		*name;	 /* the long one, without dashes; NULL ends the table */
	const char *arg; /* what stands for its value in help; NULL: a flag */
	const char *help;
};

struct cli;

struct cli_verb {
	const char *name;
	const char *operands; /* "PID" */
	const char *summary;  /* one line, lower case, no full stop */
	const char *details;  /* more, for --help; lines of at most 79 */
	const struct cli_option *options;
	bool command; /* the operands are somebody else's command line */
	int (*run)(const struct cli *c); /* returns the exit status */
};

/* What was said on the command line. */
struct cli {
	const struct cli_verb *verb;
	int argc;    /* operands */
	char **argv; /* ends with NULL */
	unsigned ngiven;
	struct cli_given {
		const struct cli_option *option;
		const char *value; /* "" for flags */
	} * given;
	enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color;
};

/* All verbs of this build, NULL at the end (main.c). */
extern const struct cli_verb *const cli_verbs[];

/* What --version prints behind the name (main.c). */
void cli_print_version(void);

/* Parse, run the verb, return the exit status. */
int cli_main(int argc, char **argv);

/* The value of an option (the last one given), "" for a flag, or NULL. */
const char *cli_get(const struct cli *c, const char *name);

/*
 * The value as a number from lo to hi; dflt if the option was not given. Wrong
 * usage if it is anything else.
 */
uint64_t cli_number(const struct cli *c, const char *name, uint64_t dflt,
	uint64_t lo, uint64_t hi);

/* The only operand as a process id. Wrong usage if it is none. */
int cli_pid(const struct cli *c);

/* Which of the words, in order, value is; wrong usage if none of them. */
unsigned cli_choice(const struct cli *c, const char *name, unsigned dflt,
	const char *const words[]);

/* Shall what is written to this descriptor be coloured? */
bool cli_color(const struct cli *c, int fd);

/* complain(), and exit with 2. */
NORETURN void cli_usage(const struct cli *c, const char *what, const char *why,
	...) PRINTF_LIKE(3, 4);

#endif
