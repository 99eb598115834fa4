/* SPDX-License-Identifier: MIT */
/*
 * Thread-local variables of a library that was loaded later: 1 MiB that the
 * loader has allocated for this thread alone.
 *
 * truth: main keep | clean
 * truth: main drop | 1/4242
 * truth: thread keep | clean
 * truth: thread drop | 1/4242
 * truth: both keep | clean
 * truth: both drop | 2/8484
 */
#include "plugin.h"
#include "thread.h"

static struct plugin plugin;
static bool keep;

static NOINLINE void hold(void)
{
	put(plugin.place(100000), make(MARKER), 0);
	if (!keep)
		*plugin.place(100000) = NULL;
	clobber();
}

int main(int argc, char **argv)
{
	keep = said(argc, argv, "keep");
	plugin = plugin_load();
	if (!said(argc, argv, "thread"))
		hold();
	if (!said(argc, argv, "main"))
		hold_in_thread(hold);
	now();
	return 0;
}
