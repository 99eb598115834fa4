/* SPDX-License-Identifier: MIT */
/*
 * symbolize: modules, names that people read, and a memory of both.
 *
 *	symbolizer ──▶ modules (path, build id) ──▶ dw_module (symbolize_dw.c)
 *	                 └─ answers: address ──▶ symbols
 *
 * Stacks share most of their frames, so every answer is kept: a leak report of
 * a thousand stacks asks libdw for some hundred addresses.
 *
 * Where a module's symbols are looked for, until the build id is right:
 *	root/path, path, the file of that build id below /usr/lib/debug
 *
 * Invariants:
 *   I1  symbols come from a file with the build id that was asked for;
 *   I2  a module is opened once, also if that fails.
 */
#include "symbolize.h"
#include "mem.h"
#include "symbolize_dw.h"

#include <stdlib.h>
#include <string.h>

struct answer {
	uint64_t address;
	struct symbols symbols;
	bool used;
};

struct module {
	char *path, *build_id;
	const char *problem;
	struct dw_module *dw;	/* NULL: there is a problem */
	struct answer *answers; /* open addressing, at most half full */
	size_t nanswers, cap;
	struct module *next;
};

struct symbolizer {
	char *root; /* NULL: none */
	struct module *modules;
};

struct symbolizer *symbolizer_new(const char *root)
{
	struct symbolizer *s = mem_zero(1, sizeof(*s));

	s->root = root ? mem_copy(root) : NULL;
	return s;
}

static void symbols_free(struct symbols s)
{
	for (size_t i = 0; i < s.n; i++) {
		free((char *)s.of[i].function);
		free((char *)s.of[i].linkage);
		free((char *)s.of[i].file);
	}
	free((struct symbol *)s.of);
}

static void module_free(struct module *m)
{
	for (size_t i = 0; i < m->cap; i++)
		if (m->answers[i].used)
			symbols_free(m->answers[i].symbols);
	if (m->dw)
		dw_close(m->dw);
	free(m->answers);
	free(m->path);
	free(m->build_id);
	free(m);
}

void symbolizer_free(struct symbolizer *s)
{
	while (s->modules) {
		struct module *m = s->modules;

		s->modules = m->next;
		module_free(m);
	}
	free(s->root);
	free(s);
}

/* I1. The first reason is the one worth telling. */
static void open_module(const struct symbolizer *s, struct module *m)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(m->path), tail = sizeof(deleted) - 1;
	const char *why = NULL;
	char *file;

	if (m->path[0] != '/') {
		m->problem = "no file";
		return;
	}
	file = mem_copy(m->path);
	if (n > tail && !strcmp(file + n - tail, deleted))
		file[n - tail] = '\0';
	if (s->root) {
		char *in_root = mem_printf("%s%s", s->root, file);

		m->dw = dw_open(in_root, m->build_id, &why);
		free(in_root);
	}
	if (!m->dw)
		m->dw = dw_open(file, m->build_id, &m->problem);
	free(file);
	if (m->dw || !m->build_id[0])
		return;
	file = dw_debug_file(m->build_id);
	if (file)
		m->dw = dw_open(file, m->build_id, &why);
	free(file);
}

struct module *symbolizer_module(
	struct symbolizer *s, const char *path, const char *build_id)
{
	struct module *m;

	path = path ? path : "";
	build_id = build_id ? build_id : "";
	for (m = s->modules; m; m = m->next)
		if (!strcmp(m->path, path) && !strcmp(m->build_id, build_id))
			return m;
	m = mem_zero(1, sizeof(*m));
	m->path = mem_copy(path);
	m->build_id = mem_copy(build_id);
	m->next = s->modules;
	s->modules = m;
	open_module(s, m);
	return m;
}

const char *module_problem(const struct module *m)
{
	return m->dw ? NULL : m->problem;
}

/* Compilers name the pieces they cut off a function: f.cold, f.part.0. */
static char *without_suffix(const char *name)
{
	static const char *const suffixes[] = {".cold", ".part.", ".isra.",
		".constprop.", ".lto_priv.", ".llvm."};
	size_t n = strlen(name);

	for (size_t i = 0; i < NELEM(suffixes); i++) {
		const char *at = strstr(name, suffixes[i]);

		if (at && at > name && (size_t)(at - name) < n)
			n = (size_t)(at - name);
	}
	return mem_copy_n(name, n);
}

static struct symbol readable(const struct dw_frame *f, bool inlined)
{
	struct symbol s = {.file = f->file,
		.line = f->line,
		.start_line = f->start_line,
		.inlined = inlined};
	char *name = without_suffix(f->name ? f->name : "");
	char *plain = symbol_demangle(name);

	s.function = plain ? plain : name;
	s.linkage = plain ? name : NULL;
	return s;
}

static struct symbols ask(struct module *m, uint64_t address)
{
	struct dw_frame frames[DW_FRAMES_MAX];
	size_t n = dw_frames(m->dw, address, frames);
	struct symbol *of = n ? mem_zero(n, sizeof(*of)) : NULL;

	for (size_t i = 0; i < n; i++)
		of[i] = readable(&frames[i], i + 1 < n);
	return (struct symbols){of, n};
}

static struct answer *slot(struct module *m, uint64_t address)
{
	size_t i =
		(address * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (m->cap - 1);

	while (m->answers[i].used && m->answers[i].address != address)
		i = (i + 1) & (m->cap - 1);
	return &m->answers[i];
}

static void make_room(struct module *m)
{
	struct answer *old = m->answers;
	size_t n = m->cap;

	if (2 * (m->nanswers + 1) <= m->cap)
		return;
	m->cap = n ? 2 * n : 64;
	m->answers = mem_zero(m->cap, sizeof(*m->answers));
	for (size_t i = 0; i < n; i++)
		if (old[i].used)
			*slot(m, old[i].address) = old[i];
	free(old);
}

struct symbols module_symbols(struct module *m, uint64_t address)
{
	struct answer *a;

	if (!m->dw)
		return (struct symbols){NULL, 0};
	make_room(m);
	a = slot(m, address);
	if (!a->used) {
		*a = (struct answer){address, ask(m, address), true};
		m->nanswers++;
	}
	return a->symbols;
}

uint64_t module_address(struct module *m, uint64_t file_offset)
{
	return m->dw ? dw_address(m->dw, file_offset) : UINT64_MAX;
}

const char *symbolizer_version(void)
{
	return dw_version();
}
