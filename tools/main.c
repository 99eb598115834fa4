/* SPDX-License-Identifier: MIT */
/*
 * gostat: the command-line tool.
 *
 * Below is the list of verbs; each has its options and its help beside it, in
 * cmd_<verb>.c. What a verb needs from the library comes through its socket or
 * through files: the tool is not linked with the allocator.
 */
#include "cli_help.h"
#include "symbolize.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

static int completion(const struct cli *c)
{
	if (c->argc != 1 || strcmp(c->argv[0], "bash"))
		cli_usage(c, "completion", "the only shell known is bash");
	cli_completion_bash();
	return STATUS_OK;
}

const struct cli_verb verb_completion = {
	.name = "completion",
	.operands = "bash",
	.summary = "print a completion script for a shell",
	.details = "For this shell only:  source <(gostat completion bash)\n",
	.run = completion,
};

const struct cli_verb *const cli_verbs[] = {
	&verb_run,
#ifdef WITH_JANSSON
	&verb_leakcheck,
#endif
	&verb_list,
	&verb_stats,
	&verb_gc,
	&verb_free,
#ifdef WITH_JANSSON
	&verb_leaks,
#endif
#ifdef WITH_ZLIB
	&verb_heap,
#endif
	&verb_trace,
	&verb_completion,
	NULL,
};

void cli_print_version(void)
{
	static const char more[] = TOOL_LIBRARIES;

	printf("gostat " GOSTAT_VERSION "\n%s%s%s\n", symbolizer_version(),
		*more ? ", " : "", more);
}

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
