/* SPDX-License-Identifier: MIT */
/*
 * leaks_out: a leak report for people, in LeakSanitizer's words, so that who
 * (or what) can read those has nothing to learn; and for programs, as JSON.
 *
 * A process without leaks gets one line: a check that leaves no trace can't be
 * told from one that did not run.
 */
#include "leaks.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

struct ink {
	const char *error, *leak, *function, *off;
};

static const struct ink inks[] = {
	{"", "", "", ""},
	{"\033[1;31m", "\033[1;34m", "\033[1m", "\033[0m"},
};

static void print_frame(
	FILE *f, size_t i, const struct leak_frame *fr, const struct ink *ink)
{
	fprintf(f, "    #%zu 0x%lx", i,
		(unsigned long)(fr->address ? fr->address : fr->offset));
	if (*fr->function)
		fprintf(f, " in %s%s%s", ink->function, fr->function, ink->off);
	if (fr->file && fr->line)
		fprintf(f, " %s:%u", fr->file, fr->line);
	else if (fr->file)
		fprintf(f, " %s", fr->file);
	else if (*fr->module)
		fprintf(f, " (%s+0x%lx)", fr->module,
			(unsigned long)fr->offset);
	if (!fr->file && !*fr->function && *fr->build_id)
		fprintf(f, " (BuildId: %s)", fr->build_id);
	fputc('\n', f);
}

static void print_leak(FILE *f, const struct leak *k, const struct ink *ink)
{
	fprintf(f,
		"%s%s leak of %lu byte(s) in %lu object(s) allocated from:%s\n",
		ink->leak, k->direct ? "Direct" : "Indirect",
		(unsigned long)k->bytes, (unsigned long)k->objects, ink->off);
	for (size_t i = 0; i < k->depth; i++)
		print_frame(f, i, &k->stack[i], ink);
	if (!k->depth)
		fputs("    <unknown stack>\n", f);
	fputc('\n', f);
}

static void print_used(FILE *f, const struct leaks *l)
{
	static const char line[] =
		"-----------------------------------------------------\n";

	if (!l->nused)
		return;
	fprintf(f, "%sSuppressions used:\n  count      bytes template\n", line);
	for (size_t i = 0; i < l->nused; i++)
		fprintf(f, "%7lu %10lu %s\n", (unsigned long)l->used[i].objects,
			(unsigned long)l->used[i].bytes, l->used[i].pattern);
	fprintf(f, "%s\n", line);
}

static void print_leaks(const struct leaks *l, FILE *f, const struct ink *ink)
{
	uint64_t objects = 0, bytes = 0;

	fprintf(f,
		"\n==========================================================="
		"======\n%s==%d==ERROR: gostat: detected memory leaks%s\n\n",
		ink->error, l->pid, ink->off);
	for (size_t i = 0; i < l->n; i++) {
		print_leak(f, &l->of[i], ink);
		objects += l->of[i].objects;
		bytes += l->of[i].bytes;
	}
	print_used(f, l);
	fprintf(f,
		"SUMMARY: gostat: %lu byte(s) leaked in %lu allocation(s).\n",
		(unsigned long)bytes, (unsigned long)objects);
}

void leaks_print(const struct leaks *l, FILE *f, bool color)
{
	const struct ink *ink = &inks[color];

	switch (l->status) {
	case LEAKS_UNCHECKED:
		fprintf(f,
			"%s==%d==ERROR: gostat: leaks were not checked: "
			"%s%s\n",
			ink->error, l->pid, l->reason, ink->off);
		break;
	case LEAKS_CLEAN:
		print_used(f, l);
		fprintf(f,
			"==%d==gostat: no leaks; %lu object(s) with %lu "
			"byte(s) are still reachable\n",
			l->pid, (unsigned long)l->live_objects,
			(unsigned long)l->live_bytes);
		break;
	case LEAKS_FOUND:
		print_leaks(l, f, ink);
	}
}

static bool matched(const struct leaks *l, const struct suppress_rule *r)
{
	for (size_t i = 0; i < l->nused; i++)
		if (l->used[i].pattern == r->pattern)
			return true;
	return false;
}

static bool lists(const json_t *unused, const char *pattern)
{
	const json_t *item;
	size_t i;

	json_array_foreach(unused, i, item)
	{
		const char *s = json_string_value(item);

		if (s && !strncmp(s, "leak:", 5) && !strcmp(s + 5, pattern))
			return true;
	}
	return false;
}

/* A rule that the library has too is unused only if it says so as well. */
static bool unused(const struct leaks *l, const struct suppress_rule *r)
{
	return !matched(l, r) && (!r->shared || lists(l->unused, r->pattern));
}

void leaks_print_unused(
	const struct leaks *l, size_t n, const struct suppress *rules, FILE *f)
{
	for (size_t r = 0; r < rules->n; r++) {
		size_t i = 0;

		while (i < n && unused(&l[i], &rules->rules[r]))
			i++;
		if (i == n)
			fprintf(f, "Unused suppression: leak:%s\n",
				rules->rules[r].pattern);
	}
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* Paths may hold any bytes; JSON holds characters. */
static json_t *text(const char *s)
{
	json_t *o = json_string(s);
	struct buf b = {0};

	if (o)
		return o;
	for (; *s; s++)
		if ((unsigned char)*s < 0x80)
			buf_add(&b, s, 1);
		else
			buf_printf(&b, "\\x%02x", (unsigned char)*s);
	o = json_string(b.data);
	buf_free(&b);
	return o;
}

static json_t *frame_json(const struct leak_frame *f)
{
	json_t *o = json_object();

	json_object_set_new(o, "function", text(f->function));
	json_object_set_new(o, "file", text(f->file ? f->file : ""));
	json_object_set_new(o, "line", number(f->line));
	json_object_set_new(o, "module", text(f->module));
	json_object_set_new(o, "build_id", text(f->build_id));
	json_object_set_new(o, "offset", number(f->offset));
	json_object_set_new(o, "inlined", json_boolean(f->inlined));
	return o;
}

static json_t *leak_json(const struct leak *k)
{
	json_t *o = json_object(), *stack = json_array();

	for (size_t i = 0; i < k->depth; i++)
		json_array_append_new(stack, frame_json(&k->stack[i]));
	json_object_set_new(
		o, "kind", json_string(k->direct ? "direct" : "indirect"));
	json_object_set_new(o, "objects", number(k->objects));
	json_object_set_new(o, "bytes", number(k->bytes));
	json_object_set_new(o, "fingerprint", json_string(k->fingerprint));
	json_object_set_new(o, "stack", stack);
	return o;
}

static json_t *amount(uint64_t objects, uint64_t bytes)
{
	json_t *o = json_object();

	json_object_set_new(o, "objects", number(objects));
	json_object_set_new(o, "bytes", number(bytes));
	return o;
}

/* Ours, and those that only the library knows (built into the program). */
static json_t *unused_json(const struct leaks *l, const struct suppress *rules)
{
	json_t *o = json_array();
	const json_t *item;
	size_t i;

	for (i = 0; i < rules->n; i++)
		if (unused(l, &rules->rules[i])) {
			char *s =
				mem_printf("leak:%s", rules->rules[i].pattern);

			json_array_append_new(o, text(s));
			free(s);
		}
	json_array_foreach(l->unused, i, item)
	{
		const char *s = json_string_value(item);
		size_t r = 0;

		while (s && r < rules->n &&
			strcmp(s + strcspn(s, ":") + !!strchr(s, ':'),
				rules->rules[r].pattern))
			r++;
		if (s && r == rules->n)
			json_array_append_new(o, json_string(s));
	}
	return o;
}

json_t *leaks_json(const struct leaks *l, const struct suppress *rules)
{
	static const char *const status[] = {
		[LEAKS_CLEAN] = "clean",
		[LEAKS_FOUND] = "leaks",
		[LEAKS_UNCHECKED] = "unchecked",
	};
	json_t *o = json_object(), *leaks = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(leaks, leak_json(&l->of[i]));
	json_object_set_new(o, "version", json_integer(1));
	json_object_set_new(o, "pid", json_integer(l->pid));
	json_object_set_new(o, "exe", text(l->exe));
	json_object_set_new(o, "status", json_string(status[l->status]));
	json_object_set_new(o, "reason", text(l->reason));
	json_object_set_new(o, "leaks", leaks);
	json_object_set_new(o, "suppressed",
		amount(l->suppressed_objects, l->suppressed_bytes));
	json_object_set_new(o, "unused_suppressions", unused_json(l, rules));
	json_object_set_new(o, "live", amount(l->live_objects, l->live_bytes));
	if (l->heap)
		json_object_set(o, "heap", l->heap);
	return o;
}
