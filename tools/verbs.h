/* SPDX-License-Identifier: MIT */
#ifndef GOSTAT_TOOLS_VERBS_H
#define GOSTAT_TOOLS_VERBS_H

/* Each verb of the tool; its options and help stand beside it in cmd_*.c. */

#include "cli.h"

extern const struct cli_verb verb_run;
extern const struct cli_verb verb_leakcheck;
extern const struct cli_verb verb_list;
extern const struct cli_verb verb_stats;
extern const struct cli_verb verb_gc;
extern const struct cli_verb verb_free;
extern const struct cli_verb verb_leaks;
extern const struct cli_verb verb_heap;
extern const struct cli_verb verb_trace;
extern const struct cli_verb verb_completion;

#endif
