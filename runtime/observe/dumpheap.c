/* SPDX-License-Identifier: MIT */
/*
 * dumpheap: the action heap, a heap profile on a signal or at the end.
 *
 *	signal ──▶ dump.c ──▶ dumpheap_action
 *	                        ├ aside: buckets ──▶ gzip in memory of its own
 *	                        └ caller's stack: memory ──▶ file
 *
 * The profile is binary, so without a template in GOSTAT_DUMP it does not go to
 * stderr, but to a file for temporary ones: $TMPDIR/gostat.NAME.PID.N.heap.pb.gz.
 * The name can't be known to who has asked, so a line on stderr tells it. The
 * folder the program works in would be nearer, but it may be / or what somebody
 * is just packing up.
 *
 * Everything is read without locks, so a handler that has interrupted malloc
 * may do it. Modules are not asked for anew: that takes the loader's lock, and
 * each stack's were recorded when it was.
 *
 * Locks: none; one at a time because dump.c is.
 */
#include "observe/dumpheap.h"
#include "base/fatal.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/heapprofile.h"

#include <errno.h>

/* 10,000 stacks make some 2 MiB. */
#define PROFILE_MAX (256 * MIB)

static struct {
	struct grow *to;
	bool named;
	int error;
	char template[DUMPFILE_PATH_MAX];
} dumpheap;

static void format(void)
{
	struct fmt f;

	grow_fmt(dumpheap.to, &f);
	dumpheap.error = heapprofile_write(&f, dumpheap.named);
	if (!grow_fmt_end(dumpheap.to, &f))
		dumpheap.error = ENOMEM;
}

int dumpheap_format(struct grow *g, bool named)
{
	dumpheap.named = named;
	dumpheap.to = g;
	dump_aside(format);
	return dumpheap.error;
}

void dumpheap_action(void)
{
	struct grow g = GROW_INIT(PROFILE_MAX);
	uint64_t number;
	const char *suffix = dump_name(ACTION_HEAP, &number);
	const char *template = options->dump;
	int error = dumpheap_format(&g, true);

	if (!template) {
		template = dumpfile_template(".heap.pb.gz", dumpheap.template,
			sizeof(dumpheap.template));
		suffix = "";
	}
	if (dump_write("heap profile", template, suffix, number, &g, error) &&
		!options->dump)
		warn("heap profile of process %d is in %.3000s",
			dumpfile_pid(), dump_path());
	grow_free(&g);
}
