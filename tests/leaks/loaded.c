/* SPDX-License-Identifier: MIT */
/*
 * A static of a library that was loaded: is a root until the library is
 * unloaded; and who leaked then is known though nobody is there.
 *
 * truth: loaded keep | clean
 * truth: loaded drop | 1/4242 module=plugin_lib.so
 * truth: unloaded | 1/4242 module=plugin_lib.so
 */
#include "plugin.h"

int main(int argc, char **argv)
{
	struct plugin p = plugin_load();

	p.make(MARKER);
	if (said(argc, argv, "drop"))
		p.forget();
	clobber();
	if (said(argc, argv, "unloaded"))
		MUST(!dlclose(p.handle));
	clobber();
	now();
	return 0;
}
