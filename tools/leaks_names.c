/* SPDX-License-Identifier: MIT */
/*
 * leaks_names: from a raw report to one worth reading.
 *
 *	frames ──▶ names ──▶ suppress ──▶ group ──▶ fingerprint
 *	           (inlined   (by file     (equal    (no lines, no
 *	           frames too) and static   stacks)   addresses)
 *	                       function)
 *
 * The library groups by return addresses. Two calls on one line, or a loop
 * that the compiler has unrolled, are one place for people: groups whose
 * frames read the same are joined. So frames get ranks, equal for those that
 * read the same, and stacks are compared by the ranks of their frames.
 *
 * The fingerprint is FNV-1a (64 bits) over the last part of the module's path
 * and the linkage name of each frame from the innermost to main: what is
 * behind main belongs to libc, and changes with it.
 */
#include "leaks.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

/* -------- names -------- */

static void add(struct leaks *l, struct leak_frame f)
{
	l->frames = mem_grow(l->frames, l->nframes, sizeof(f));
	l->frames[l->nframes++] = f;
}

/* One frame of the raw report, with what was inlined there in front. */
static void name_frame(struct leaks *l, struct leak_frame f, struct symbols s)
{
	for (size_t i = 0; i < s.n; i++) {
		const struct symbol *y = &s.of[i];
		struct leak_frame named = f;

		if (*y->function) {
			named.function = y->function;
			named.linkage = y->linkage;
		}
		named.file = y->file;
		named.line = y->line;
		named.inlined = y->inlined;
		add(l, named);
	}
	if (!s.n)
		add(l, f);
}

/* first[i]: number of the first frame that raw frame i has become. */
static void rename_stack(struct leak *k, const size_t *first)
{
	uint32_t *stack;
	size_t n = 0;

	for (size_t i = 0; i < k->depth; i++)
		n += first[k->stack[i] + 1] - first[k->stack[i]];
	stack = mem_zero(n, sizeof(*stack));
	n = 0;
	for (size_t i = 0; i < k->depth; i++)
		for (size_t f = first[k->stack[i]]; f < first[k->stack[i] + 1];
			f++)
			stack[n++] = (uint32_t)f;
	free(k->stack);
	k->stack = stack;
	k->depth = n;
}

static void name(struct leaks *l, struct symbolizer *sym)
{
	struct leak_frame *raw = l->frames;
	size_t n = l->nframes, *first = mem_zero(n + 1, sizeof(*first));

	l->frames = NULL;
	l->nframes = 0;
	for (size_t i = 0; i < n; i++) {
		struct symbols s = {NULL, 0};

		if (*raw[i].module && !raw[i].file)
			s = module_symbols(symbolizer_module(sym, raw[i].module,
						   raw[i].build_id),
				raw[i].offset);
		first[i] = l->nframes;
		name_frame(l, raw[i], s);
	}
	first[n] = l->nframes;
	for (size_t i = 0; i < l->n; i++)
		rename_stack(&l->of[i], first);
	free(first);
	free(raw);
}

/* Any order will do, as long as frames that read the same are equal. */
static int by_frame(const struct leak_frame *a, const struct leak_frame *b)
{
	int d = strcmp(a->function, b->function);

	d = d ? d : strcmp(a->module, b->module);
	d = d ? d : strcmp(a->file ? a->file : "", b->file ? b->file : "");
	if (!d && a->line != b->line)
		d = a->line < b->line ? -1 : 1;
	/* Without a position only the address tells places apart. */
	if (!d && !a->file && a->offset != b->offset)
		d = a->offset < b->offset ? -1 : 1;
	return d;
}

static int by_text(const void *x, const void *y)
{
	struct leak_frame *const *a = x, *const *b = y;

	return by_frame(*a, *b);
}

static void rank(struct leaks *l)
{
	struct leak_frame **order = mem_zero(l->nframes, sizeof(*order));

	for (size_t i = 0; i < l->nframes; i++)
		order[i] = &l->frames[i];
	qsort(order, l->nframes, sizeof(struct leak_frame *), by_text);
	for (size_t i = 1; i < l->nframes; i++)
		order[i]->rank = order[i - 1]->rank +
			(by_frame(order[i - 1], order[i]) != 0);
	free(order);
}

/* -------- suppression -------- */

static size_t rule_of(const struct leak_frame *f, const struct suppress *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		const char *p = rules->rules[i].pattern;

		if (suppress_matches(p, f->function) ||
			suppress_matches(p, f->linkage) ||
			suppress_matches(p, f->file) ||
			suppress_matches(p, f->module))
			return i;
	}
	return SIZE_MAX;
}

/* The first rule that matches any of its frames. */
static size_t rule_of_leak(const struct leaks *l, const struct leak *k)
{
	size_t rule = SIZE_MAX;

	for (size_t i = 0; i < k->depth; i++)
		rule = MIN(rule, l->frames[k->stack[i]].rule);
	return rule;
}

static void suppress(struct leaks *l, const struct suppress *rules)
{
	size_t n = 0;

	for (size_t i = 0; i < l->nframes; i++)
		l->frames[i].rule = rule_of(&l->frames[i], rules);
	for (size_t i = 0; i < l->n; i++) {
		struct leak *k = &l->of[i];
		size_t rule = rule_of_leak(l, k);

		if (rule == SIZE_MAX) {
			l->of[n++] = *k;
			continue;
		}
		rules->rules[rule].objects += k->objects;
		rules->rules[rule].bytes += k->bytes;
		l->suppressed_objects += k->objects;
		l->suppressed_bytes += k->bytes;
		free(k->stack);
	}
	l->n = n;
	for (size_t i = 0; i < rules->n; i++)
		if (rules->rules[i].objects) {
			l->used = mem_grow(l->used, l->nused, sizeof(*l->used));
			l->used[l->nused++] = rules->rules[i];
		}
	if (l->status == LEAKS_FOUND && !n)
		l->status = LEAKS_CLEAN;
}

/* -------- groups -------- */

static int by_stack(const void *x, const void *y, void *arg)
{
	const struct leak_frame *frames = arg;
	const struct leak *a = x, *b = y;

	if (a->direct != b->direct)
		return a->direct ? -1 : 1;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	for (size_t i = 0; i < a->depth; i++) {
		size_t p = frames[a->stack[i]].rank;
		size_t q = frames[b->stack[i]].rank;

		if (p != q)
			return p < q ? -1 : 1;
	}
	return 0;
}

static int by_size(const void *x, const void *y, void *arg)
{
	const struct leak *a = x, *b = y;

	if (a->direct != b->direct)
		return a->direct ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	if (a->objects != b->objects)
		return a->objects > b->objects ? -1 : 1;
	return by_stack(x, y, arg);
}

static void group(struct leaks *l)
{
	size_t n = 0;

	if (!l->n)
		return;
	qsort_r(l->of, l->n, sizeof(*l->of), by_stack, l->frames);
	for (size_t i = 1; i < l->n; i++) {
		if (by_stack(&l->of[n], &l->of[i], l->frames)) {
			l->of[++n] = l->of[i];
			continue;
		}
		l->of[n].objects += l->of[i].objects;
		l->of[n].bytes += l->of[i].bytes;
		free(l->of[i].stack);
	}
	l->n = n + 1;
	qsort_r(l->of, l->n, sizeof(*l->of), by_size, l->frames);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static uint64_t fnv(uint64_t h, const char *s)
{
	do {
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	} while (*s++);
	return h;
}

static void fingerprint(const struct leaks *l, struct leak *k)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < k->depth; i++) {
		const struct leak_frame *f = &l->frames[k->stack[i]];

		h = fnv(h, last_part(f->module));
		h = fnv(h, f->linkage ? f->linkage : f->function);
		if (!strcmp(f->function, "main"))
			break;
	}
	snprintf(k->fingerprint, sizeof(k->fingerprint), "%016lx",
		(unsigned long)h);
}

void leaks_complete(
	struct leaks *l, struct symbolizer *s, struct suppress *rules)
{
	name(l, s);
	rank(l);
	/* Counts are of this process. */
	for (size_t i = 0; i < rules->n; i++)
		rules->rules[i].objects = rules->rules[i].bytes = 0;
	suppress(l, rules);
	group(l);
	for (size_t i = 0; i < l->n; i++)
		fingerprint(l, &l->of[i]);
}
