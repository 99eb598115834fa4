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

/* Behind its number. */
static char *frame_text(const struct leak_frame *fr, const struct ink *ink)
{
	struct buf b = {0};

	buf_printf(&b, " 0x%lx",
		(unsigned long)(fr->address ? fr->address : fr->offset));
	if (*fr->function)
		buf_printf(&b, " in %s%s%s", ink->function, fr->function,
			ink->off);
	if (fr->file && fr->line)
		buf_printf(&b, " %s:%u", fr->file, fr->line);
	else if (fr->file)
		buf_printf(&b, " %s", fr->file);
	else if (*fr->module)
		buf_printf(&b, " (%s+0x%lx)", fr->module,
			(unsigned long)fr->offset);
	if (!fr->file && !*fr->function && *fr->build_id)
		buf_printf(&b, " (BuildId: %s)", fr->build_id);
	buf_printf(&b, "\n");
	return b.data;
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

static void print_leak(FILE *f, const struct leak *k, char *const *frames,
	const struct ink *ink)
{
	fprintf(f,
		"%s%s leak of %lu byte(s) in %lu object(s) allocated from:%s\n",
		ink->leak, k->direct ? "Direct" : "Indirect",
		(unsigned long)k->bytes, (unsigned long)k->objects, ink->off);
	for (size_t i = 0; i < k->depth; i++) {
		fprintf(f, "    #%zu", i);
		fputs(frames[k->stack[i]], f);
	}
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

static void print_leaks(const struct leaks *l, FILE *f, const struct ink *ink,
	const char *in, const char *exe)
{
	uint64_t objects = 0, bytes = 0;
	char **frames = mem_zero(l->nframes, sizeof(*frames));

	for (size_t i = 0; i < l->nframes; i++)
		frames[i] = frame_text(&l->frames[i], ink);
	fprintf(f,
		"\n==========================================================="
		"======\n%s==%d==ERROR: gostat: detected memory leaks%s%s%s\n\n",
		ink->error, l->pid, in, exe, ink->off);
	for (size_t i = 0; i < l->n; i++) {
		print_leak(f, &l->of[i], frames, ink);
		objects += l->of[i].objects;
		bytes += l->of[i].bytes;
	}
	print_used(f, l);
	fprintf(f,
		"SUMMARY: gostat: %lu byte(s) leaked in %lu allocation(s).\n",
		(unsigned long)bytes, (unsigned long)objects);
	free_texts(frames, l->nframes);
}

void leaks_print(const struct leaks *l, FILE *f, bool color, bool named)
{
	const struct ink *ink = &inks[color];
	const char *exe = named ? l->exe : "";
	const char *in = *exe ? " in " : "";

	switch (l->status) {
	case LEAKS_UNCHECKED:
		fprintf(f,
			"%s==%d==ERROR: gostat: leaks%s%s were not checked: "
			"%s%s\n",
			ink->error, l->pid, in, exe, l->reason, ink->off);
		break;
	case LEAKS_CLEAN:
		print_used(f, l);
		fprintf(f,
			"==%d==gostat: no leaks%s%s; %lu object(s) with %lu "
			"byte(s) are still reachable\n",
			l->pid, in, exe, (unsigned long)l->live_objects,
			(unsigned long)l->live_bytes);
		break;
	case LEAKS_FOUND:
		print_leaks(l, f, ink, in, exe);
	}
}

/* Sums of one program, or of all. */
struct total {
	size_t runs, leaked, unchecked;
	uint64_t objects, bytes; /* leaked */
};

static void sum_up(struct total *t, const struct leaks *l)
{
	t->runs++;
	t->leaked += l->status == LEAKS_FOUND;
	t->unchecked += l->status == LEAKS_UNCHECKED;
	for (size_t i = 0; i < l->n; i++) {
		t->objects += l->of[i].objects;
		t->bytes += l->of[i].bytes;
	}
}

static bool seen_before(const struct leaks *l, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(l[k].exe, l[i].exe))
			return true;
	return false;
}

void leaks_print_total(const struct leaks *l, size_t n, FILE *f)
{
	struct total all = {0};

	for (size_t i = 0; i < n; i++)
		sum_up(&all, &l[i]);
	fprintf(f,
		"\nTOTAL: gostat: %zu program(s) run: %zu leaked, %zu not "
		"checked, %zu without leaks.\n",
		n, all.leaked, all.unchecked, n - all.leaked - all.unchecked);
	for (size_t i = 0; i < n; i++) {
		struct total t = {0};

		if (seen_before(l, i))
			continue;
		for (size_t k = i; k < n; k++)
			if (!strcmp(l[k].exe, l[i].exe))
				sum_up(&t, &l[k]);
		if (t.leaked)
			fprintf(f,
				"    %zu of %zu: %lu byte(s) in %lu "
				"allocation(s)  %s\n",
				t.leaked, t.runs, (unsigned long)t.bytes,
				(unsigned long)t.objects, l[i].exe);
		if (t.unchecked)
			fprintf(f, "    %zu of %zu: not checked  %s\n",
				t.unchecked, t.runs, l[i].exe);
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

/* A line of an object; v's reference is taken. */
static void member(FILE *f, const char *key, json_t *v, const char *end)
{
	fprintf(f, " \"%s\": ", key);
	json_dumpf(v, f, JSON_ENCODE_ANY);
	fprintf(f, "%s\n", end);
	json_decref(v);
}

static void write_leak(FILE *f, const struct leak *k, char *const *frames)
{
	fprintf(f,
		"  {\"kind\": \"%s\", \"objects\": %lu, \"bytes\": %lu, "
		"\"fingerprint\": \"%s\", \"stack\": [",
		k->direct ? "direct" : "indirect", (unsigned long)k->objects,
		(unsigned long)k->bytes, k->fingerprint);
	for (size_t i = 0; i < k->depth; i++) {
		fputs(i ? ",\n   " : "\n   ", f);
		fputs(frames[k->stack[i]], f);
	}
	fputs("]}", f);
}

/*
 * Not as one tree: of a million frames that would take a gigabyte, to say the
 * same few hundred things again and again.
 */
static void write_leaks(FILE *f, const struct leaks *l)
{
	char **frames = mem_zero(l->nframes, sizeof(*frames));

	for (size_t i = 0; i < l->nframes; i++) {
		json_t *o = frame_json(&l->frames[i]);

		frames[i] = json_dumps(o, 0);
		json_decref(o);
	}
	fputs(" \"leaks\": [", f);
	for (size_t i = 0; i < l->n; i++) {
		fputs(i ? ",\n" : "\n", f);
		write_leak(f, &l->of[i], frames);
	}
	fputs("],\n", f);
	free_texts(frames, l->nframes);
}

void leaks_write_json(
	const struct leaks *l, const struct suppress *rules, FILE *f)
{
	static const char *const status[] = {
		[LEAKS_CLEAN] = "clean",
		[LEAKS_FOUND] = "leaks",
		[LEAKS_UNCHECKED] = "unchecked",
	};

	fputs("{\n", f);
	member(f, "version", json_integer(1), ",");
	member(f, "pid", json_integer(l->pid), ",");
	member(f, "exe", text(l->exe), ",");
	member(f, "status", json_string(status[l->status]), ",");
	member(f, "reason", text(l->reason), ",");
	write_leaks(f, l);
	member(f, "suppressed",
		amount(l->suppressed_objects, l->suppressed_bytes), ",");
	member(f, "unused_suppressions", unused_json(l, rules), ",");
	member(f, "live", amount(l->live_objects, l->live_bytes),
		l->heap ? "," : "");
	if (l->heap)
		member(f, "heap", json_incref(l->heap), "");
	fputc('}', f);
}
