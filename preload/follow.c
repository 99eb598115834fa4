/* SPDX-License-Identifier: MIT */
/*
 * follow: GOSTAT_FOLLOW=0, children started with exec go without the library.
 *
 * The entries of LD_PRELOAD that name this library go, others stay as they are
 * and in their order:
 *
 *	liba.so:/x/libgostat.so libb.so  -->  liba.so libb.so
 *
 * The variable is edited where it stands (it only gets shorter), or taken from
 * the environment when nothing is left in it, so that nothing is allocated and
 * no pointer that anybody has kept goes bad.
 *
 * An entry is ours if its last part is the name of our file: paths to one file
 * can be spelled in many ways, and the loader expands $LIB and $ORIGIN.
 */
#include "preload/follow.h"

#include <dlfcn.h>
#include <string.h>

static bool separates(char c)
{
	return c == ' ' || c == ':';
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_ours(const char *entry, size_t n, const char *name)
{
	size_t len = strlen(name);

	return n >= len && !memcmp(entry + n - len, name, len) &&
	       (n == len || entry[n - len - 1] == '/');
}

bool follow_prune(char *list, const char *name)
{
	char *to = list, *from = list;

	while (*from) {
		size_t gap = 0, n = 0;

		while (separates(from[gap]))
			gap++;
		while (from[gap + n] && !separates(from[gap + n]))
			n++;
		if (n && !is_ours(from + gap, n, name)) {
			/* At the front the gap went with the entry. */
			size_t keep = to == list ? 0 : gap;

			memmove(to, from + gap - keep, keep + n);
			to += keep + n;
		}
		from += gap + n;
	}
	*to = '\0';
	return to > list;
}

void follow_stop(char **envp)
{
	static const char var[] = "LD_PRELOAD=";
	const size_t len = sizeof(var) - 1;
	char **to = envp;
	Dl_info us;

	if (!dladdr((void *)follow_stop, &us))
		return;
	for (char **e = envp; *e; e++)
		if (strncmp(*e, var, len) ||
			follow_prune(*e + len, last_part(us.dli_fname)))
			*to++ = *e;
	*to = NULL;
}
