/* SPDX-License-Identifier: MIT */
/*
 * leaks: from a raw report to one worth reading.
 *
 *	JSON ──▶ leaks_parse ──▶ names ──▶ suppress ──▶ fingerprint ──▶ group
 *	         addresses       (inlined   (by file     (no lines, no   (equal
 *	                         frames too) and static   addresses) stacks)
 *	                                     function)
 *
 * The library groups by return addresses. Two calls on one line, or a loop
 * that the compiler has unrolled, are one place for people: groups whose
 * frames read the same are joined.
 *
 * The fingerprint is FNV-1a (64 bits) over the last part of the module's path
 * and the linkage name of each frame from the innermost to main: what is
 * behind main belongs to libc, and changes with it.
 *
 * Strings belong to the JSON tree (l->root) or to the symbolizer.
 */
#include "leaks.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

static const char *string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint64_t number_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static struct leak_frame parse_frame(const json_t *o)
{
	struct leak_frame f = {.function = string_of(o, "function"),
		.file = json_string_value(json_object_get(o, "file")),
		.line = (unsigned)number_of(o, "line"),
		.module = string_of(o, "module"),
		.build_id = string_of(o, "build_id"),
		.offset = number_of(o, "offset"),
		.address = number_of(o, "address"),
		.inlined = json_is_true(json_object_get(o, "inlined"))};

	return f;
}

static bool parse_leak(struct leak *l, const json_t *o)
{
	const char *kind = string_of(o, "kind");
	const json_t *stack = json_object_get(o, "stack"), *frame;
	size_t i;

	l->direct = !strcmp(kind, "direct");
	l->objects = number_of(o, "objects");
	l->bytes = number_of(o, "bytes");
	l->depth = json_array_size(stack);
	l->stack = mem_zero(l->depth, sizeof(*l->stack));
	json_array_foreach(stack, i, frame) l->stack[i] = parse_frame(frame);
	return l->direct || !strcmp(kind, "indirect");
}

static bool parse_status(struct leaks *l)
{
	static const char *const words[] = {"clean", "leaks", "unchecked"};
	const char *word = string_of(l->root, "status");

	for (unsigned i = 0; i < NELEM(words); i++)
		if (!strcmp(word, words[i])) {
			l->status = (enum leaks_status)i;
			return true;
		}
	return false;
}

static bool parse_body(struct leaks *l, char **why)
{
	const json_t *suppressed = json_object_get(l->root, "suppressed");
	const json_t *live = json_object_get(l->root, "live");
	const json_t *leaks = json_object_get(l->root, "leaks"), *leak;
	size_t i;

	if (number_of(l->root, "version") != 1 || !parse_status(l)) {
		*why = mem_copy("it is no leak report of version 1");
		return false;
	}
	l->pid = (int)number_of(l->root, "pid");
	l->exe = string_of(l->root, "exe");
	l->reason = mem_copy(string_of(l->root, "reason"));
	l->suppressed_objects = number_of(suppressed, "objects");
	l->suppressed_bytes = number_of(suppressed, "bytes");
	l->live_objects = number_of(live, "objects");
	l->live_bytes = number_of(live, "bytes");
	l->unused = json_object_get(l->root, "unused_suppressions");
	l->heap = json_object_get(l->root, "heap");
	l->of = mem_zero(json_array_size(leaks), sizeof(*l->of));
	json_array_foreach(
		leaks, i, leak) if (!parse_leak(&l->of[l->n++], leak))
	{
		*why = mem_printf("leak %zu has no kind", i);
		return false;
	}
	return true;
}

/* The end of a JSON string that begins at p. */
static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\';
	return p < end ? p + 1 : end;
}

static bool fits(const char *digits, size_t n)
{
	static const char most[] = "9223372036854775807";
	size_t len = sizeof(most) - 1;

	return n < len || (n == len && memcmp(digits, most, len) <= 0);
}

/*
 * jansson has no integers above 2^63 - 1, but MemStats do: a goal of UINT64_MAX
 * is none. Those become reals.
 */
static void widen(struct buf *out, const char *p, size_t n)
{
	const char *end = p + n, *from = p;

	while (p < end) {
		const char *start = p;

		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (!fits(start, (size_t)(p - start)) && start > from &&
			start[-1] != '.' &&
			(p == end || !strchr(".eE", *p))) {
			buf_add(out, from, (size_t)(p - from));
			buf_add(out, ".0", 2);
			from = p;
		}
		p += p == start;
	}
	buf_add(out, from, (size_t)(end - from));
}

bool leaks_parse(struct leaks *l, const char *text, size_t n, char **why)
{
	struct buf wide = {0};
	json_error_t e;

	*l = (struct leaks){.reason = NULL};
	widen(&wide, text, n);
	l->root = json_loadb(wide.data, wide.len, JSON_ALLOW_NUL, &e);
	buf_free(&wide);
	if (!l->root) {
		*why = mem_printf("byte %d: %s", e.position, e.text);
		return false;
	}
	if (parse_body(l, why))
		return true;
	leaks_free(l);
	return false;
}

void leaks_unchecked(
	struct leaks *l, int pid, const char *exe, const char *reason)
{
	*l = (struct leaks){.pid = pid,
		.status = LEAKS_UNCHECKED,
		.reason = mem_copy(reason),
		.root = json_object()};
	json_object_set_new(l->root, "exe", json_string(exe));
	l->exe = string_of(l->root, "exe");
}

static void stack_free(struct leak *k)
{
	free(k->stack);
	k->stack = NULL;
}

void leaks_free(struct leaks *l)
{
	for (size_t i = 0; i < l->n; i++)
		stack_free(&l->of[i]);
	free(l->of);
	free(l->used);
	free(l->reason);
	json_decref(l->root);
	*l = (struct leaks){.reason = NULL};
}

void leaks_merge(struct leaks *a, struct leaks *b)
{
	static const int rank[] = {
		[LEAKS_CLEAN] = 0, [LEAKS_UNCHECKED] = 1, [LEAKS_FOUND] = 2};
	json_t *both = json_object();

	if (rank[a->status] > rank[b->status]) {
		char *reason = b->reason;

		b->status = a->status;
		b->reason = a->reason;
		a->reason = reason;
	}
	b->of = mem_resize(b->of, a->n + b->n, sizeof(*b->of));
	memcpy(b->of + b->n, a->of, a->n * sizeof(*b->of));
	b->n += a->n;
	b->suppressed_objects += a->suppressed_objects;
	b->suppressed_bytes += a->suppressed_bytes;
	json_object_set_new(both, "a", a->root);
	json_object_set_new(both, "b", b->root);
	b->root = both;
	a->n = 0;
	a->root = NULL;
	leaks_free(a);
	*a = *b;
	*b = (struct leaks){.reason = NULL};
}

/* One frame of the raw report, with what was inlined there in front. */
static size_t name_frame(
	struct leak_frame *to, const struct leak_frame *raw, struct symbols s)
{
	if (!s.n) {
		*to = *raw;
		return 1;
	}
	for (size_t i = 0; i < s.n; i++) {
		const struct symbol *y = &s.of[i];

		to[i] = *raw;
		if (*y->function) {
			to[i].function = y->function;
			to[i].linkage = y->linkage;
		}
		to[i].file = y->file;
		to[i].line = y->line;
		to[i].inlined = y->inlined;
	}
	return s.n;
}

static void name_stack(struct leak *k, struct symbolizer *sym)
{
	struct symbols *s = mem_zero(k->depth, sizeof(*s));
	struct leak_frame *stack;
	size_t n = 0;

	for (size_t i = 0; i < k->depth; i++) {
		const struct leak_frame *f = &k->stack[i];

		if (*f->module && !f->file)
			s[i] = module_symbols(
				symbolizer_module(sym, f->module, f->build_id),
				f->offset);
		n += MAX(s[i].n, 1u);
	}
	stack = mem_zero(n, sizeof(*stack));
	n = 0;
	for (size_t i = 0; i < k->depth; i++)
		n += name_frame(stack + n, &k->stack[i], s[i]);
	free(s);
	free(k->stack);
	k->stack = stack;
	k->depth = n;
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

static void fingerprint(struct leak *k)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < k->depth; i++) {
		const struct leak_frame *f = &k->stack[i];

		h = fnv(h, last_part(f->module));
		h = fnv(h, f->linkage ? f->linkage : f->function);
		if (!strcmp(f->function, "main"))
			break;
	}
	snprintf(k->fingerprint, sizeof(k->fingerprint), "%016lx",
		(unsigned long)h);
}

static struct suppress_rule *find_rule(
	const struct leak *k, const struct suppress *rules)
{
	for (size_t r = 0; r < rules->n; r++) {
		const char *p = rules->rules[r].pattern;

		for (size_t i = 0; i < k->depth; i++) {
			const struct leak_frame *f = &k->stack[i];

			if (suppress_matches(p, f->function) ||
				suppress_matches(p, f->linkage) ||
				suppress_matches(p, f->file) ||
				suppress_matches(p, f->module))
				return &rules->rules[r];
		}
	}
	return NULL;
}

static void suppress(struct leaks *l, const struct suppress *rules)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct leak *k = &l->of[i];
		struct suppress_rule *r = find_rule(k, rules);

		if (!r) {
			l->of[n++] = *k;
			continue;
		}
		r->objects += k->objects;
		r->bytes += k->bytes;
		l->suppressed_objects += k->objects;
		l->suppressed_bytes += k->bytes;
		stack_free(k);
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

static int by_stack(const void *x, const void *y)
{
	const struct leak *a = x, *b = y;

	if (a->direct != b->direct)
		return a->direct ? -1 : 1;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	for (size_t i = 0; i < a->depth; i++) {
		int d = by_frame(&a->stack[i], &b->stack[i]);

		if (d)
			return d;
	}
	return 0;
}

static int by_size(const void *x, const void *y)
{
	const struct leak *a = x, *b = y;

	if (a->direct != b->direct)
		return a->direct ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	if (a->objects != b->objects)
		return a->objects > b->objects ? -1 : 1;
	return by_stack(x, y);
}

static void group(struct leaks *l)
{
	size_t n = 0;

	if (!l->n)
		return;
	qsort(l->of, l->n, sizeof(*l->of), by_stack);
	for (size_t i = 1; i < l->n; i++) {
		if (by_stack(&l->of[n], &l->of[i])) {
			l->of[++n] = l->of[i];
			continue;
		}
		l->of[n].objects += l->of[i].objects;
		l->of[n].bytes += l->of[i].bytes;
		stack_free(&l->of[i]);
	}
	l->n = n + 1;
	qsort(l->of, l->n, sizeof(*l->of), by_size);
}

void leaks_complete(
	struct leaks *l, struct symbolizer *s, struct suppress *rules)
{
	for (size_t i = 0; i < l->n; i++)
		name_stack(&l->of[i], s);
	/* Counts are of this process. */
	for (size_t i = 0; i < rules->n; i++)
		rules->rules[i].objects = rules->rules[i].bytes = 0;
	suppress(l, rules);
	group(l);
	for (size_t i = 0; i < l->n; i++)
		fingerprint(&l->of[i]);
}
