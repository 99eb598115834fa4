/* SPDX-License-Identifier: MIT */
/*
 * suppress: see the header.
 *
 * Rules and their texts lie in two growing blocks that are never freed, so a
 * copy of the process can match while the program adds rules.
 */
#include "gc/suppress.h"
#include "base/errtext.h"
#include "base/fatal.h"
#include "gc/leakname.h"
#include "os/grow.h"
#include "os/syscall.h"
#include "os/sysmem.h"

#include <fcntl.h>
#include <string.h>

enum {
	FILE_MAX = 16 << 20, /* bytes of a file of rules */
	RULES_MAX = 1 << 20, /* bytes of their table */
};

/* The table holds offsets until it is read: both blocks move as they grow. */
static struct rules {
	struct grow text;  /* patterns, each with its NUL */
	struct grow rules; /* struct suppress_rule */
	size_t n;
} rules = {.text = GROW_INIT(FILE_MAX), .rules = GROW_INIT(RULES_MAX)};

static void add_rule(const char *p, size_t n)
{
	const char *old = rules.text.p;
	char *copy = grow_add(&rules.text, 5 + n + 1);
	struct suppress_rule *r, *all;

	if (!copy)
		return;
	memcpy(copy, "leak:", 5);
	memcpy(copy + 5, p, n);
	r = grow_add(&rules.rules, sizeof(*r));
	if (!r)
		return;
	all = (void *)rules.rules.p;
	for (size_t i = 0; i < rules.n; i++) /* the text has moved */
		all[i].pattern = rules.text.p + (all[i].pattern - old);
	r->pattern = copy + 5;
	rules.n++;
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void add_line(const char *p, size_t n, unsigned line, const char *where)
{
	while (n && space(*p))
		p++, n--;
	while (n && space(p[n - 1]))
		n--;
	if (n == 0 || *p == '#')
		return;
	if (n > 5 && !memcmp(p, "leak:", 5))
		add_rule(p + 5, n - 5);
	else if (!memchr(p, ':', n))
		warn("%s:%u: not a suppression, expected leak:PATTERN", where,
			line);
}

void suppress_add_text(const char *text, size_t n, const char *where)
{
	unsigned line = 1;

	for (const char *end = text + n; text < end; line++) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));

		if (!nl)
			nl = end;
		add_line(text, (size_t)(nl - text), line, where);
		text = nl + 1;
	}
}

bool suppress_add_file(const char *path)
{
	struct grow g = GROW_INIT(FILE_MAX);
	long fd = sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long got = fd;

	while (fd >= 0 && (got = grow_room(&g, 4096) ? 4096 : -12) > 0) {
		got = sys3(SYS_read, fd, g.p + g.len, got);
		if (got <= 0)
			break;
		g.len += (size_t)got;
	}
	if (fd >= 0)
		sys1(SYS_close, fd);
	if (got < 0)
		warn("cannot read suppressions %s: %s", path,
			errtext((int)-got));
	else
		suppress_add_text(g.p, g.len, path);
	grow_free(&g);
	return got >= 0;
}

size_t suppress_count(void)
{
	return rules.n;
}

struct suppress_rule *suppress_at(size_t i)
{
	return (struct suppress_rule *)rules.rules.p + i;
}

/*
 * p is what is left of a pattern, s of a name. After a * the shortest match
 * is tried first and lengthened from there.
 */
static bool match_here(const char *p, const char *s)
{
	const char *star = NULL, *retry = NULL;

	for (;;) {
		if (*p == '*') {
			star = ++p;
			retry = s;
			continue;
		}
		if (*p == '\0')
			return true;
		if (*p == '$' && p[1] == '\0' && *s == '\0')
			return true;
		if (*s && *p == *s) {
			p++;
			s++;
			continue;
		}
		if (!star || !*retry)
			return false;
		p = star;
		s = ++retry;
	}
}

bool suppress_matches(const char *pattern, const char *name)
{
	if (!name || !*name)
		return false;
	if (*pattern == '^')
		return match_here(pattern + 1, name);
	for (; *name; name++)
		if (match_here(pattern, name))
			return true;
	return false;
}

static struct suppress_rule *find_frame(const struct leak_frame *f)
{
	for (size_t i = 0; i < rules.n; i++) {
		struct suppress_rule *r = suppress_at(i);

		if (suppress_matches(r->pattern, f->function) ||
			suppress_matches(r->pattern, f->module))
			return r;
	}
	return NULL;
}

struct suppress_rule *suppress_find(uint32_t stack)
{
	uintptr_t pc[LEAK_FRAMES];
	size_t n = rules.n ? leak_frames(stack, pc, LEAK_FRAMES) : 0;
	struct suppress_rule *r = NULL;

	for (size_t i = 0; i < n && !r; i++) {
		struct leak_frame f = {.pc = pc[i]};

		leak_describe(stack, &f);
		r = find_frame(&f);
	}
	return r;
}

static uint32_t *memo_slot(const struct suppress_memo *m, uint32_t stack)
{
	size_t i = stack * 0x9e3779b1u;

	for (;; i++) {
		uint32_t *s = &m->slot[i & (m->cap - 1)];

		if (*s == 0 || *s >> 1 == stack)
			return s;
	}
}

static bool memo_grow(struct suppress_memo *m)
{
	struct suppress_memo old = *m;

	m->cap = old.cap ? 2 * old.cap : OS_PAGE / sizeof(uint32_t);
	m->slot = sysmem_map(NULL, m->cap * sizeof(uint32_t), SYS_GC);
	if (!m->slot) {
		*m = old;
		return false;
	}
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i])
			*memo_slot(m, old.slot[i] >> 1) = old.slot[i];
	suppress_forget(&old);
	return true;
}

bool suppress_asked(struct suppress_memo *memo, uint32_t stack)
{
	uint32_t *s;

	if (rules.n == 0 || stack == 0 || stack >> 31)
		return false;
	if (2 * memo->n >= memo->cap && !memo_grow(memo))
		return suppress_find(stack) != NULL;
	s = memo_slot(memo, stack);
	if (*s == 0) {
		*s = stack << 1 | (suppress_find(stack) != NULL);
		memo->n++;
	}
	return *s & 1;
}

void suppress_forget(struct suppress_memo *memo)
{
	if (memo->slot)
		sysmem_unmap(memo->slot, memo->cap * sizeof(uint32_t), SYS_GC);
	memo->slot = NULL;
	memo->n = memo->cap = 0;
}
