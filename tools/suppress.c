/* SPDX-License-Identifier: MIT */
/*
 * suppress: patterns of leaks that are known.
 *
 * The tool applies them a second time, after the library: it knows static
 * functions, inlined ones, and source files, which the process itself does not.
 *
 * Matching is greedy from left to right with one point to come back to, the
 * last star: linear in practice, and no pattern makes it exponential.
 */
#include "suppress.h"
#include "cli.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool glob(const char *p, const char *s)
{
	const char *star = NULL, *from = NULL;

	for (;;) {
		if (*p == '*') {
			star = ++p;
			from = s;
		} else if (*p == '$' && !p[1] && !*s) {
			return true;
		} else if (!*p) {
			return true; /* the rest of s may be anything */
		} else if (*s && *p == *s) {
			p++;
			s++;
		} else if (star && *from) {
			p = star;
			s = ++from;
		} else {
			return false;
		}
	}
}

bool suppress_matches(const char *pattern, const char *name)
{
	if (!name || !*name || !*pattern)
		return false;
	if (*pattern == '^')
		return glob(pattern + 1, name);
	for (; *name; name++)
		if (glob(pattern, name))
			return true;
	return false;
}

static void add(struct suppress *s, const char *pattern, size_t n, bool shared)
{
	s->rules = mem_grow(s->rules, s->n, sizeof(*s->rules));
	s->rules[s->n++] = (struct suppress_rule){
		.pattern = mem_copy_n(pattern, n), .shared = shared};
}

static bool add_line(
	struct suppress *s, const char *line, size_t n, bool shared)
{
	static const char prefix[] = "leak:";
	const size_t skip = sizeof(prefix) - 1;

	while (n && strchr(" \t\r", line[n - 1]))
		n--;
	while (n && strchr(" \t", *line)) {
		line++;
		n--;
	}
	if (!n || *line == '#')
		return true;
	if (n <= skip || memcmp(line, prefix, skip))
		return false;
	add(s, line + skip, n - skip, shared);
	return true;
}

bool suppress_add_file(struct suppress *s, const char *path, bool shared)
{
	struct buf text = {0};
	const char *p;
	bool fine = true;

	if (!buf_read_file(&text, path)) {
		complain(path, "%s", strerror(errno));
		return false;
	}
	p = text.data;
	for (unsigned line = 1; *p && fine; line++) {
		size_t n = strcspn(p, "\n");

		fine = add_line(s, p, n, shared);
		if (!fine)
			complain(path, "line %u is not leak:PATTERN: %.*s",
				line, (int)MIN(n, 60), p);
		p += n + !!p[n];
	}
	buf_free(&text);
	return fine;
}

bool suppress_add_environment(struct suppress *s)
{
	static const char key[] = "suppressions=";
	const char *file = getenv("GOSTAT_SUPPRESSIONS");
	const char *lsan = getenv("LSAN_OPTIONS"), *at;
	bool fine;
	char *path;

	if (file && *file && !suppress_add_file(s, file, false))
		return false;
	at = lsan ? strstr(lsan, key) : NULL;
	if (!at || (at > lsan && !strchr(": ,\t\n", at[-1])))
		return true;
	at += sizeof(key) - 1;
	if (*at == '"' || *at == '\'')
		path = mem_copy_n(at + 1, strcspn(at + 1, "\"'"));
	else
		path = mem_copy_n(at, strcspn(at, ": ,\t\n"));
	fine = suppress_add_file(s, path, true);
	free(path);
	return fine;
}

void suppress_free(struct suppress *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->rules[i].pattern);
	free(s->rules);
	*s = (struct suppress){0};
}
