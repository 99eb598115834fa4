/* SPDX-License-Identifier: MIT */
/* lsan: see the header. */
#include "gc/lsan.h"
#include "base/fatal.h"
#include "gc/roots.h"

#include <string.h>

struct lsan_options lsan = {
	.detect_leaks = true,
	.leak_check_at_exit = true,
	.exitcode = -1, /* GOSTAT_LEAKCHECK_EXITCODE's */
	.print_suppressions = true,
	.use_globals = true,
	.use_stacks = true,
	.use_registers = true,
	.use_tls = true,
	.use_root_regions = true,
};

static const struct row {
	const char *name;
	enum { FLAG, NUMBER, PATH } type;
	size_t offset;
} rows[] = {
#define ROW(name, type)                                                        \
	{                                                                      \
#name, type, offsetof(struct lsan_options, name)               \
	}
	ROW(detect_leaks, FLAG),
	ROW(leak_check_at_exit, FLAG),
	ROW(exitcode, NUMBER),
	ROW(max_leaks, NUMBER),
	ROW(report_objects, FLAG),
	ROW(print_suppressions, FLAG),
	ROW(use_globals, FLAG),
	ROW(use_stacks, FLAG),
	ROW(use_registers, FLAG),
	ROW(use_tls, FLAG),
	ROW(use_root_regions, FLAG),
	ROW(use_unaligned, FLAG),
	ROW(suppressions, PATH),
	ROW(log_path, PATH),
#undef ROW
};

static bool is_one_of(const char *v, size_t n, const char *const *words)
{
	for (; *words; words++)
		if (strlen(*words) == n && !memcmp(v, *words, n))
			return true;
	return false;
}

static bool set_flag(bool *to, const char *v, size_t n)
{
	static const char *const yes[] = {"1", "true", "yes", NULL};
	static const char *const no[] = {"0", "false", "no", NULL};

	*to = is_one_of(v, n, yes) || (*to && !is_one_of(v, n, no));
	return is_one_of(v, n, yes) || is_one_of(v, n, no);
}

static bool set_number(const struct row *r, const char *v, size_t n)
{
	char *base = (char *)&lsan;
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9' || sum > INT32_MAX)
			return false;
		sum = sum * 10 + (uint64_t)(v[i] - '0');
	}
	if (n == 0)
		return false;
	if (!strcmp(r->name, "exitcode"))
		*(int *)(base + r->offset) = (int)(sum & 0xff);
	else
		*(uint64_t *)(base + r->offset) = sum;
	return true;
}

static bool set_path(char *to, const char *v, size_t n)
{
	if (n >= sizeof(lsan.log_path))
		return false;
	memcpy(to, v, n);
	to[n] = '\0';
	return true;
}

static void set(const char *name, size_t nname, const char *v, size_t n,
	const char *where)
{
	for (size_t i = 0; i < NELEM(rows); i++) {
		const struct row *r = &rows[i];
		char *to = (char *)&lsan + r->offset;
		bool ok;

		if (strlen(r->name) != nname || memcmp(r->name, name, nname))
			continue;
		ok = r->type == FLAG	 ? set_flag((bool *)to, v, n)
		     : r->type == NUMBER ? set_number(r, v, n)
					 : set_path(to, v, n);
		if (!ok)
			warn("%s: %s can't be %.*s", where, r->name, (int)n, v);
		return;
	}
}

static bool separator(char c)
{
	return c == ':' || c == ',' || c == ' ' || c == '\t' || c == '\n' ||
	       c == '\r';
}

void lsan_parse(const char *p, const char *where)
{
	while (p && *p) {
		const char *name = p, *v;
		size_t n;

		if (separator(*p)) {
			p++;
			continue;
		}
		while (*p && *p != '=' && !separator(*p))
			p++;
		if (*p != '=') {
			warn("%s: expected name=value at %s", where, name);
			return;
		}
		n = (size_t)(p - name);
		v = ++p;
		if (*v == '"' || *v == '\'') {
			for (p = ++v; *p && *p != v[-1]; p++)
				;
			set(name, n, v, (size_t)(p - v), where);
			p += *p != '\0';
			continue;
		}
		while (*p && !separator(*p))
			p++;
		set(name, n, v, (size_t)(p - v), where);
	}
}

uint32_t lsan_root_kinds(void)
{
	uint32_t kinds = 1u << ROOT_SHARED | 1u << ROOT_KERNEL;

	if (lsan.use_globals)
		kinds |= 1u << ROOT_GLOBALS;
	if (lsan.use_stacks)
		kinds |= 1u << ROOT_STACK;
	if (lsan.use_registers)
		kinds |= 1u << ROOT_REGISTERS;
	if (lsan.use_tls)
		kinds |= 1u << ROOT_TLS;
	if (lsan.use_root_regions)
		kinds |= 1u << ROOT_REGISTERED;
	return kinds;
}
