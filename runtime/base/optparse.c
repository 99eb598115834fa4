/* SPDX-License-Identifier: MIT */
/*
 * optparse: the text of a setting into its value.
 *
 * Each kind accepts exactly what the table documents: no spaces, no second
 * spelling of a unit. A setting that means something else tomorrow than it
 * seems to mean today is worse than one that is refused with a line that says
 * what is accepted. Byte counts and percentages are Go's grammar.
 *
 * Invariants:
 *   I1  a parser that returns false has not written to out;
 *   I2  strings handed out lie in strings[] and are never changed again.
 *
 * strings[] is static: malloc is what is being started, and untouched pages of
 * .bss cost nothing. Its size is far beyond the six strings there are; what
 * does not fit is refused like any bad value.
 *
 * Locks: none; parsing happens at load, before there is a second thread.
 * Rejected: strtoull and friends, which skip spaces, take signs, set errno.
 */
#include "base/optparse.h"
#include "base/signame.h"

#include <string.h>

enum { STRINGS_MAX = 32768 };

const char *const optparse_actions[NACTION + 1] = {
	"stats", "gc", "leaks", "heap", "trace", NULL};

static char strings[STRINGS_MAX];
static size_t strings_used;

/* A copy that lives as long as the process; NULL when strings[] is full. */
static const char *keep(const char *text)
{
	size_t n = strlen(text) + 1;
	char *copy = strings + strings_used;

	if (n > STRINGS_MAX - strings_used)
		return NULL;
	memcpy(copy, text, n);
	strings_used += n;
	return copy;
}

/* Decimal digits up to the first other byte; NULL if none, or too many. */
static const char *number(const char *s, uint64_t *v)
{
	const char *start = s;

	for (*v = 0; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(*v, 10, v) ||
			__builtin_add_overflow(*v, (uint64_t)(*s - '0'), v))
			return NULL;
	return s > start ? s : NULL;
}

/* Go's byte counts: digits, then nothing, B, KiB, MiB, GiB or TiB. */
static bool byte_count(const char *s, uint64_t *v)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift;

	s = number(s, v);
	if (!s || *v > INT64_MAX)
		return false;
	if (!*s || !strcmp(s, "B"))
		return true;
	unit = strchr(units, *s);
	if (!unit || strcmp(s + 1, "iB"))
		return false;
	shift = 10 * (unsigned)(unit - units + 1);
	if (*v > (uint64_t)INT64_MAX >> shift)
		return false;
	*v <<= shift;
	return true;
}

bool optparse_bool(const char *s, void *out, const void *arg UNUSED)
{
	if ((s[0] != '0' && s[0] != '1') || s[1])
		return false;
	*(bool *)out = s[0] == '1';
	return true;
}

bool optparse_uint(const char *s, void *out, const void *arg)
{
	const struct range *r = arg;
	uint64_t v;

	s = number(s, &v);
	if (!s || *s || v < r->lo || v > r->hi)
		return false;
	*(uint64_t *)out = v;
	return true;
}

bool optparse_enum(const char *s, void *out, const void *arg)
{
	const char *const *names = arg;

	for (unsigned i = 0; names[i]; i++) {
		if (!strcmp(s, names[i])) {
			*(unsigned *)out = i;
			return true;
		}
	}
	return false;
}

bool optparse_gogc(const char *s, void *out, const void *arg UNUSED)
{
	bool negative = *s == '-';
	const char *end;
	uint64_t v;

	if (!strcmp(s, "off")) {
		*(int32_t *)out = GOGC_OFF;
		return true;
	}
	end = number(s + negative, &v);
	if (!end || *end || v > INT32_MAX)
		return false;
	*(int32_t *)out = negative && v ? GOGC_OFF : (int32_t)v;
	return true;
}

bool optparse_memlimit(const char *s, void *out, const void *arg UNUSED)
{
	uint64_t v = INT64_MAX;

	if (!strcmp(s, "auto"))
		*(int64_t *)out = MEMLIMIT_AUTO;
	else if (!strcmp(s, "off") || byte_count(s, &v))
		*(int64_t *)out = (int64_t)v;
	else
		return false;
	return true;
}

bool optparse_size(const char *s, void *out, const void *arg UNUSED)
{
	uint64_t v = 0;

	if (strcmp(s, "off") && !byte_count(s, &v))
		return false;
	*(uint64_t *)out = v;
	return true;
}

bool optparse_string(const char *s, void *out, const void *arg UNUSED)
{
	s = keep(s);
	if (s)
		*(const char **)out = s;
	return s != NULL;
}

/* arg is the word that stands for "no path". */
bool optparse_template(const char *s, void *out, const void *arg)
{
	if (!strcmp(s, arg)) {
		*(const char **)out = NULL;
		return true;
	}
	if (strlen(s) > MAX_TEMPLATE)
		return false;
	for (const char *p = strchr(s, '%'); p; p = strchr(p + 2, '%'))
		if (!p[1] || !strchr("pnet%", p[1]))
			return false;
	return optparse_string(s, out, NULL);
}

/* stats+gc ... up to end; 0 if a word is unknown. */
static uint32_t action_set(const char *s, const char *end)
{
	uint32_t set = 0;

	for (;;) {
		const char *plus = memchr(s, '+', (size_t)(end - s));
		size_t n = (size_t)((plus ? plus : end) - s);
		unsigned i = 0;

		while (optparse_actions[i] &&
			(strlen(optparse_actions[i]) != n ||
				memcmp(s, optparse_actions[i], n)))
			i++;
		if (!optparse_actions[i])
			return 0;
		set |= 1u << i;
		if (!plus)
			return set;
		s = plus + 1;
	}
}

bool optparse_atexit(const char *s, void *out, const void *arg UNUSED)
{
	uint32_t set = 0;

	if (strcmp(s, "none")) {
		set = action_set(s, s + strlen(s));
		if (!set)
			return false;
	}
	*(uint32_t *)out = set;
	return true;
}

/* Add what signo asks for; a signal named twice asks for both. */
static bool add_signal(struct signal_actions *list, int signo, uint32_t set)
{
	unsigned i = 0;

	while (i < list->n && list->of[i].signo != signo)
		i++;
	if (i == MAX_SIGNALS)
		return false;
	list->of[i].signo = signo;
	list->of[i].actions |= set;
	list->n = MAX(list->n, i + 1);
	return true;
}

bool optparse_signals(const char *s, void *out, const void *arg UNUSED)
{
	struct signal_actions list = {.given = true};
	const char *end;

	if (!strcmp(s, "none")) {
		*(struct signal_actions *)out = list;
		return true;
	}
	for (;; s = end + 1) {
		const char *colon;
		uint32_t set = ACTION_STATS;
		int signo;

		end = strchrnul(s, ',');
		colon = memchr(s, ':', (size_t)(end - s));
		if (colon)
			set = action_set(colon + 1, end);
		signo = signame_parse(s, (size_t)((colon ? colon : end) - s));
		if (!signo || !set || !add_signal(&list, signo, set))
			return false;
		if (!*end)
			break;
	}
	*(struct signal_actions *)out = list;
	return true;
}

bool optparse_godebug(const char *s, void *out, const void *arg UNUSED)
{
	struct godebug v = {0};
	const struct {
		const char *key;
		uint32_t *value;
	} keys[] = {{"gctrace=", &v.gctrace}, {"scavtrace=", &v.scavtrace},
		{"inittrace=", &v.inittrace},
		{"gcstoptheworld=", &v.gcstoptheworld},
		{"gcnocopy=", &v.gcnocopy}};

	for (const char *end; *s; s = *end ? end + 1 : end) {
		end = strchrnul(s, ',');
		for (unsigned i = 0; i < NELEM(keys); i++) {
			size_t n = strlen(keys[i].key);
			uint64_t value;

			if (strncmp(s, keys[i].key, n))
				continue;
			if (number(s + n, &value) != end || value > UINT32_MAX)
				return false;
			*keys[i].value = (uint32_t)value;
		}
	}
	*(struct godebug *)out = v;
	return true;
}
