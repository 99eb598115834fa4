/* SPDX-License-Identifier: MIT */
/*
 * options: the environment, read once.
 *
 *	options.def ──▶ struct options (fields), current (initial values),
 *	                rows[] (parsing), option_rows[] (docs, --help, hints)
 *
 * The library lives in programs it knows nothing of, so a bad setting is never
 * fatal: one line says what was wrong and what would be right, the default
 * stays. An empty value is an unset one: that is how shells and unit files
 * switch a variable off.
 *
 * Invariants:
 *   I1  the default text of a row, given as its value, changes nothing;
 *   I2  a value that is refused leaves its field as it was;
 *   I3  no pointer in current points into the environment.
 *
 * Locks: none; options_parse() runs before there is a second thread.
 */
#include "base/options.h"
#include "base/fatal.h"
#include "base/optparse.h"

#include <signal.h>
#include <string.h>

/* NULL-terminated; the index is the enum's value. */
static const char *const gc_names[] = {"report", "reclaim", "off", NULL};
static const char *const format_names[] = {"text", "json", "prometheus", NULL};
static const char *const leakcheck_names[] = {"off", "exit", NULL};
static const char *const roots_names[] = {"all", "strict", NULL};

/* clang-format off */
#define RANGE(lo, hi) (&(const struct range){(lo), (hi)})
#define USR1_STATS {.n = 1, .of = {{SIGUSR1, ACTION_STATS}}}
/* clang-format on */

static struct options current = {
#define OPTION(name, type, field, initial, parser, arg, dflt, accepted, help)  \
	.field = initial,
#include "base/options.def"
#undef OPTION
};

const struct options *const options = &current;

const struct option_row option_rows[] = {
#define OPTION(name, type, field, initial, parser, arg, dflt, accepted, help)  \
	{#name, dflt, accepted, help},
#include "base/options.def"
#undef OPTION
};

const unsigned noption_rows = NELEM(option_rows);

/* What parsing needs to know of a row; same index as option_rows. */
static const struct {
	void *field;
	bool (*parse)(const char *s, void *out, const void *arg);
	const void *arg;
} rows[] = {
#define OPTION(name, type, field, initial, parser, arg, dflt, accepted, help)  \
	{&current.field, parser, arg},
#include "base/options.def"
#undef OPTION
};

const char *action_name(uint32_t action)
{
	for (unsigned i = 0; i < NACTION; i++)
		if (action == 1u << i)
			return optparse_actions[i];
	return NULL;
}

/*
 * Insertions, deletions and replacements that turn a into b (Levenshtein, one
 * row at a time). Bytes of a beyond the longest name that can matter are left
 * out.
 */
static unsigned distance(const char *a, const char *b)
{
	enum { LONGEST = 63 };
	unsigned row[LONGEST + 1];
	unsigned n = (unsigned)strnlen(a, LONGEST);

	for (unsigned i = 0; i <= n; i++)
		row[i] = i;
	for (unsigned j = 1; b[j - 1]; j++) {
		unsigned diagonal = row[0];

		row[0] = j;
		for (unsigned i = 1; i <= n; i++) {
			unsigned above = row[i];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			best = MIN(best, above + 1);
			row[i] = MIN(best, row[i - 1] + 1);
			diagonal = above;
		}
	}
	return row[n];
}

void options_dump_at_exit(void)
{
	if (current.atexit_out)
		current.dump = current.atexit_out;
}

const char *options_nearest(const char *name)
{
	const char *best = NULL;
	unsigned least = UINT32_MAX;
	size_t n = strlen(name);

	for (unsigned i = 0; i < noption_rows; i++) {
		unsigned d = distance(name, option_rows[i].name);

		/* GOSTAT_LEAK is meant as GOSTAT_LEAKCHECK, not as ..._GC. */
		if (n > strlen("GOSTAT_") &&
			!strncmp(name, option_rows[i].name, n))
			d = 0;
		if (d < least) {
			least = d;
			best = option_rows[i].name;
		}
	}
	return best;
}

/* Text from outside on one line: control bytes out, long tails cut. */
enum { SHOWN_MAX = 100 };

static const char *shown(const char *s, char buf[SHOWN_MAX + 4])
{
	size_t n = strnlen(s, SHOWN_MAX);

	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)s[i] < ' ' || s[i] == 127 ? '?' : s[i];
	strcpy(buf + n, s[n] ? "..." : "");
	return buf;
}

/* The text after "name=" in the first entry of that name, or NULL. */
static const char *value_of(char **envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp; envp++)
		if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

static void parse_row(unsigned i, const char *value)
{
	char buf[SHOWN_MAX + 4];

	if (rows[i].parse(value, rows[i].field, rows[i].arg))
		return;
	warn("%s=%s: not understood, using the default; accepted: %s",
		option_rows[i].name, shown(value, buf),
		option_rows[i].accepted);
}

/* One line for each GOSTAT_ name that is in no row. */
static void hint_unknown(char **envp)
{
	for (; *envp; envp++) {
		char name[64], buf[SHOWN_MAX + 4];
		size_t n = strcspn(*envp, "=");
		unsigned i = 0;

		if (strncmp(*envp, "GOSTAT_", 7))
			continue;
		while (i < noption_rows &&
			(strlen(option_rows[i].name) != n ||
				memcmp(*envp, option_rows[i].name, n)))
			i++;
		if (i < noption_rows)
			continue;
		n = MIN(n, sizeof(name) - 1);
		memcpy(name, *envp, n);
		name[n] = '\0';
		warn("%s: unknown variable, did you mean %s?", shown(name, buf),
			options_nearest(name));
	}
}

void options_parse(char **envp, bool secure)
{
	static const int32_t unset = INT32_MIN;

	if (secure || !envp)
		return;
	current.gogc = unset;
	for (unsigned i = 0; i < noption_rows; i++) {
		const char *value = value_of(envp, option_rows[i].name);

		if (value && *value)
			parse_row(i, value);
	}
	/* The one default that depends on another variable. */
	if (current.gogc == unset)
		current.gogc = current.gc == GC_RECLAIM ? 100 : GOGC_OFF;
	hint_unknown(envp);
}
