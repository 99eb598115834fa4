/* SPDX-License-Identifier: MIT */
/* mkmetrics prometheus|openmetrics: a page full of numbers on stdout. */
#include "observe/metrics.h"
#include "support/sample.h"

#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const struct emit_env env = {.gogc = -1,
		.memlimit = INT64_MAX,
		.threads = 3,
		.gomaxprocs = 2};
	static struct gostat_memstats m;
	static struct metrics s;
	struct fmt f;
	char buf[4096];

	sample_fill(&m);
	metrics_read_heap(&s);
	for (unsigned i = 0; i < METRICS_NPAUSE; i++)
		s.pauses[i] = i;
	s.pause_total_ns = 123456789;
	fmt_init(&f, buf, sizeof(buf), STDOUT_FILENO);
	metrics_page(&f, &m, &env, &s,
		argc > 1 && !strcmp(argv[1], "openmetrics"));
	return fmt_flush(&f) != 0;
}
