/* SPDX-License-Identifier: MIT */
/*
 * profile_symbolize: names for the locations of a profile, so that it can be
 * read where the programs are not, and by readers that know less about ELF
 * (Go's pprof: no separate debug files, no inlined frames, few C++ names).
 *
 *	location.address ──▶ offset in the file ──▶ the file's own address ──▶
 *	lines; functions are shared by name, linkage name and file
 *
 * A mapping says that it has functions if any of its locations got one: then
 * readers do not try again, and they would not find more.
 */
#include "profile.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Strings and functions by their contents, while names are added. */
struct names {
	struct profile *p;
	void *strings, *functions; /* trees of struct name */
	uint64_t last_id;	   /* of functions; larger than all that were */
};

struct name {
	char *key;
	uint64_t id;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(
		((const struct name *)a)->key, ((const struct name *)b)->key);
}

static void name_free(void *n)
{
	free(((struct name *)n)->key);
	free(n);
}

/* The entry of key; *fresh if it was not there, then its id is to be set. */
static struct name *entry(void **tree, const char *key, bool *fresh)
{
	struct name probe = {.key = (char *)key}, *n;
	struct name **found = tfind(&probe, tree, by_key);

	*fresh = !found;
	if (found)
		return *found;
	n = mem_zero(1, sizeof(*n));
	n->key = mem_copy(key);
	tsearch(n, tree, by_key);
	return n;
}

static uint64_t add_string(struct profile *p, const char *s)
{
	p->strings = mem_grow(p->strings, p->nstrings, sizeof(*p->strings));
	p->strings[p->nstrings] = mem_copy(s);
	return p->nstrings++;
}

uint64_t profile_string(struct profile *p, const char *s)
{
	for (size_t i = 0; i < p->nstrings; i++)
		if (!strcmp(p->strings[i], s))
			return i;
	return add_string(p, s);
}

static uint64_t string(struct names *n, const char *s)
{
	bool fresh;
	struct name *e;

	if (!s || !*s)
		return 0;
	e = entry(&n->strings, s, &fresh);
	if (fresh)
		e->id = add_string(n->p, s);
	return e->id;
}

static uint64_t function(struct names *n, const struct symbol *y)
{
	struct profile *p = n->p;
	struct profile_function f = {.name = string(n, y->function),
		.file = string(n, y->file),
		.start_line = y->start_line};
	char key[80];
	struct name *e;
	bool fresh;

	f.system_name = y->linkage ? string(n, y->linkage) : f.name;
	snprintf(key, sizeof(key), "%lx %lx %lx", (unsigned long)f.name,
		(unsigned long)f.system_name, (unsigned long)f.file);
	e = entry(&n->functions, key, &fresh);
	if (!fresh)
		return e->id;
	f.id = e->id = ++n->last_id;
	p->function = mem_grow(p->function, p->nfunction, sizeof(*p->function));
	p->function[p->nfunction++] = f;
	return f.id;
}

static struct profile_mapping *mapping_of(struct profile *p, uint64_t id)
{
	for (size_t i = 0; id && i < p->nmapping; i++)
		if (p->mapping[i].id == id)
			return &p->mapping[i];
	return NULL;
}

static void name_location(
	struct names *n, struct profile_location *l, struct symbolizer *sym)
{
	struct profile_mapping *m = mapping_of(n->p, l->mapping);
	struct module *module;
	struct symbols s;
	uint64_t at;

	/* A name without a line is from a symbol table: debug files have more. */
	if (!m || (l->nline && l->line[0].line) || l->address < m->start)
		return;
	module = symbolizer_module(sym, profile_text(n->p, m->file),
		profile_text(n->p, m->build_id));
	at = module_address(module, l->address - m->start + m->offset);
	if (at == UINT64_MAX)
		return;
	s = module_symbols(module, at);
	if (s.n)
		l->nline = 0;
	for (size_t i = 0; i < s.n; i++) {
		l->line = mem_grow(l->line, l->nline, sizeof(*l->line));
		l->line[l->nline++] = (struct profile_line){
			function(n, &s.of[i]), s.of[i].line, 0};
		m->has_functions = true;
		m->has_filenames |= !!s.of[i].file;
		m->has_lines |= !!s.of[i].line;
		m->has_inlines |= i > 0;
	}
}

void profile_symbolize(struct profile *p, struct symbolizer *s)
{
	struct names n = {.p = p};
	bool fresh;

	for (size_t i = 1; i < p->nstrings; i++)
		entry(&n.strings, p->strings[i], &fresh)->id = i;
	for (size_t i = 0; i < p->nfunction; i++)
		n.last_id = MAX(n.last_id, p->function[i].id);
	for (size_t i = 0; i < p->nlocation; i++)
		name_location(&n, &p->location[i], s);
	tdestroy(n.strings, name_free);
	tdestroy(n.functions, name_free);
}
