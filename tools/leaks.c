/* SPDX-License-Identifier: MIT */
/*
 * leaks: a report as the library writes it.
 *
 *	{"leaks":[{"stack":[{...}, {...}]}]}		what others read, too
 *	{"leaks":[{"frames":"0 1"}], "frames":[{...}]}	brief
 *
 * A program has some hundred places that end up in stacks, however many stacks
 * it makes of them: 262,144 in 1 GB of the first shape, or 30 MB of the second.
 * So here stacks are numbers of frames in any case, and everything that is
 * found out about a frame is found out once.
 *
 * Strings belong to the JSON tree (l->root).
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

static uint32_t add_frame(struct leaks *l, const json_t *o)
{
	l->frames = mem_grow(l->frames, l->nframes, sizeof(*l->frames));
	l->frames[l->nframes] = parse_frame(o);
	return (uint32_t)l->nframes++;
}

/* Numbers with a space between; false: not of frames. */
static bool parse_numbers(struct leak *k, const char *s, size_t nframes)
{
	char *end;

	while (*s) {
		unsigned long v = strtoul(s, &end, 10);

		if (end == s || v >= nframes)
			return false;
		k->stack = mem_grow(k->stack, k->depth, sizeof(*k->stack));
		k->stack[k->depth++] = (uint32_t)v;
		s = end + (*end == ' ');
	}
	return true;
}

static bool parse_leak(struct leaks *l, struct leak *k, const json_t *o)
{
	const char *kind = string_of(o, "kind");
	const json_t *stack = json_object_get(o, "stack"), *frame;
	size_t i;

	k->direct = !strcmp(kind, "direct");
	k->objects = number_of(o, "objects");
	k->bytes = number_of(o, "bytes");
	if (!stack && !parse_numbers(k, string_of(o, "frames"), l->nframes))
		return false;
	if (stack)
		k->stack = mem_zero(json_array_size(stack), sizeof(*k->stack));
	json_array_foreach(stack, i, frame) k->stack[k->depth++] =
		add_frame(l, frame);
	return k->direct || !strcmp(kind, "indirect");
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
	const json_t *leaks = json_object_get(l->root, "leaks"), *leak, *frame;
	size_t i;

	if (number_of(l->root, "version") != 1 || !parse_status(l)) {
		*why = mem_copy("it is no leak report of version 1");
		return false;
	}
	l->pid = (int)number_of(l->root, "pid");
	l->exe = string_of(l->root, "exe");
	l->next = string_of(l->root, "exec");
	l->expected = json_is_true(json_object_get(l->root, "expected"));
	l->reason = mem_copy(string_of(l->root, "reason"));
	l->suppressed_objects = number_of(suppressed, "objects");
	l->suppressed_bytes = number_of(suppressed, "bytes");
	l->live_objects = number_of(live, "objects");
	l->live_bytes = number_of(live, "bytes");
	l->unused = json_object_get(l->root, "unused_suppressions");
	l->heap = json_object_get(l->root, "heap");
	json_array_foreach(json_object_get(l->root, "frames"), i, frame)
		add_frame(l, frame);
	l->of = mem_zero(json_array_size(leaks), sizeof(*l->of));
	json_array_foreach(
		leaks, i, leak) if (!parse_leak(l, &l->of[l->n++], leak))
	{
		*why = mem_printf(
			"leak %zu has no kind or a wrong stack", i);
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
		.next = "",
		.status = LEAKS_UNCHECKED,
		.reason = mem_copy(reason),
		.root = json_object()};
	json_object_set_new(l->root, "exe", json_string(exe));
	l->exe = string_of(l->root, "exe");
}

void leaks_free(struct leaks *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->of[i].stack);
	free(l->of);
	free(l->frames);
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
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->of[i].depth; k++)
			a->of[i].stack[k] += (uint32_t)b->nframes;
	b->frames = mem_resize(
		b->frames, a->nframes + b->nframes, sizeof(*b->frames));
	if (a->nframes)
		memcpy(b->frames + b->nframes, a->frames,
			a->nframes * sizeof(*b->frames));
	b->nframes += a->nframes;
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
