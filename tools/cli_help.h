/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_CLI_HELP_H
#define GOSTAT_TOOLS_CLI_HELP_H

#include "cli.h"

/* What every verb has, and what may stand before the verb (cli.c). */
extern const struct cli_option cli_common[], cli_globals[];

/* --help, of the tool and of one verb, on stdout. */
void cli_help(void);
void cli_help_verb(const struct cli_verb *v);

/* A completion script for bash, on stdout. */
void cli_completion_bash(void);

#endif
