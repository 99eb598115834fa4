/* SPDX-License-Identifier: MIT */
/* emit_sample text|json|prometheus|openmetrics: the sample on stdout. */
#include "observe/emit.h"
#include "support/sample.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const struct emit_env env = {.gogc = -1,
		.memlimit = INT64_MAX,
		.threads = 3,
		.gomaxprocs = 2};
	const char *format = argc > 1 ? argv[1] : "text";
	struct gostat_memstats m;
	struct fmt f;
	char buf[4096];

	sample_fill(&m);
	fmt_init(&f, buf, sizeof(buf), STDOUT_FILENO);
	if (!strcmp(format, "json"))
		emit_json(&f, &m);
	else if (!strcmp(format, "prometheus"))
		emit_prometheus(&f, &m, &env, false);
	else if (!strcmp(format, "openmetrics"))
		emit_prometheus(&f, &m, &env, true);
	else
		emit_text(&f, &m);
	return fmt_flush(&f) != 0;
}
