/* SPDX-License-Identifier: MIT */
/*
 * leakreport: groups, and their two spellings.
 *
 * A group is all objects of one kind (direct, indirect, suppressed) that were
 * allocated by one stack. The text is LeakSanitizer's, so that eyes and
 * parsers that know it need nothing new:
 *
 *	==PID==ERROR: gostat: detected memory leaks
 *
 *	Direct leak of 24 byte(s) in 1 object(s) allocated from:
 *	    #0 0x55d0c7e0115c in make (/bin/app+0x115c)
 *
 *	SUMMARY: gostat: 24 byte(s) leaked in 1 allocation(s).
 *
 * Names here are what the process itself can tell: modules and exported
 * functions. The JSON carries build id and offset of each frame besides, from
 * which the tool finds functions, files, lines and inlined calls.
 *
 * For the tool the JSON may be brief. Then a leak has no stack and no
 * fingerprint, but the numbers of its frames, which follow once each:
 *
 *	"leaks":[{"kind":"direct","objects":1,"bytes":24,"frames":"0 1 2"}],
 *	"frames":[{"function":"make",...},{"function":"main",...},...]
 *
 * And it says what the process is about to become ("exec"), so that the absence
 * of another report can be noticed.
 */
#include "gc/leakreport.h"
#include "base/json.h"
#include "gc/frametab.h"
#include "gc/leakname.h"
#include "gc/suppress.h"
#include "os/sysmem.h"
#include "profile/modules.h"

#include <string.h>

/* -------- groups -------- */

static struct leak_group *find_group(
	const struct leaks *l, uint32_t stack, uint32_t kind)
{
	size_t i = (stack * 4 + kind) * 0x9e3779b1u;

	for (;; i++) {
		struct leak_group *g = &l->group[i & (l->cap - 1)];

		if (g->objects == 0 || (g->stack == stack && g->kind == kind))
			return g;
	}
}

static bool grow_groups(struct leaks *l)
{
	struct leaks old = *l;
	size_t unit = sizeof(struct leak_group);

	l->cap = old.cap ? 2 * old.cap : 1024;
	l->group = sysmem_map(
		NULL, ALIGN_UP(l->cap * unit, (size_t)OS_PAGE), SYS_GC);
	if (!l->group) {
		*l = old;
		return false;
	}
	for (size_t i = 0; i < old.cap; i++)
		if (old.group[i].objects)
			*find_group(l, old.group[i].stack, old.group[i].kind) =
				old.group[i];
	if (old.group)
		sysmem_unmap(old.group,
			ALIGN_UP(old.cap * unit, (size_t)OS_PAGE), SYS_GC);
	return true;
}

static void count(void *arg, const struct leak_object *o)
{
	struct leaks *l = arg;
	struct leak_group *g;

	l->objects[o->kind]++;
	l->bytes[o->kind] += o->bytes;
	if (2 * l->n >= l->cap && !grow_groups(l)) {
		l->truncated = true;
		return;
	}
	g = find_group(l, o->stack, o->kind);
	if (!g->objects)
		l->n++;
	g->stack = o->stack;
	g->kind = o->kind;
	g->objects++;
	g->bytes += o->bytes;
}

static bool before(const struct leak_group *a, const struct leak_group *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes;
	return a->stack < b->stack;
}

/* libc's qsort() may call malloc. */
static void sift(struct leak_group *g, size_t i, size_t n)
{
	for (;;) {
		size_t k = 2 * i + 1;
		struct leak_group t;

		if (k >= n)
			return;
		if (k + 1 < n && before(&g[k], &g[k + 1]))
			k++;
		if (!before(&g[i], &g[k]))
			return;
		t = g[i];
		g[i] = g[k];
		g[k] = t;
		i = k;
	}
}

static void sort(struct leak_group *g, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(g, i, n);
	for (size_t i = n; i-- > 1;) {
		struct leak_group t = g[0];

		g[0] = g[i];
		g[i] = t;
		sift(g, 0, i);
	}
}

/* Rules get what they have matched; what hangs off it is not counted. */
static void count_rules(const struct leaks *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct leak_group *g = &l->group[i];
		struct suppress_rule *r = g->kind == LEAK_SUPPRESSED
						  ? suppress_find(g->stack)
						  : NULL;

		if (!r)
			continue;
		r->objects += g->objects;
		r->bytes += g->bytes;
	}
}

bool leaks_count(struct leaks *l, const struct leaklist *list)
{
	size_t n = 0;

	l->truncated = list->truncated;
	l->list = list;
	if (!l->cap && !grow_groups(l))
		return false;
	leaklist_each(list, count, l);
	for (size_t i = 0; i < l->cap; i++)
		if (l->group[i].objects)
			l->group[n++] = l->group[i];
	sort(l->group, n);
	for (size_t i = 0; i < suppress_count(); i++)
		suppress_at(i)->objects = suppress_at(i)->bytes = 0;
	count_rules(l);
	return true;
}

void leaks_free(struct leaks *l)
{
	if (l->group)
		sysmem_unmap(l->group,
			ALIGN_UP(l->cap * sizeof(struct leak_group),
				(size_t)OS_PAGE),
			SYS_GC);
	memset(l, 0, sizeof(*l));
}

/* -------- text -------- */

static void text_frame(struct fmt *f, size_t i, const struct leak_frame *fr)
{
	fmt_printf(f, "    #%zu 0x%lx", i, (unsigned long)fr->pc - 1);
	if (fr->function)
		fmt_printf(f, " in %s", fr->function);
	if (fr->module)
		fmt_printf(f, " (%s+0x%lx)", fr->module,
			(unsigned long)fr->offset);
	fmt_char(f, '\n');
}

static void text_stack(struct fmt *f, uint32_t stack)
{
	uintptr_t pc[LEAK_FRAMES];
	size_t n = leak_frames(stack, pc, LEAK_FRAMES);

	for (size_t i = 0; i < n; i++) {
		struct leak_frame fr = {.pc = pc[i]};

		leak_describe(stack, &fr);
		text_frame(f, i, &fr);
	}
	if (n == 0)
		fmt_str(f, "    <unknown stack>\n");
}

struct object_filter {
	struct fmt *f;
	const struct leak_group *g;
};

static void text_object(void *arg, const struct leak_object *o)
{
	struct object_filter *of = arg;

	if (o->stack == of->g->stack && o->kind == of->g->kind)
		fmt_printf(of->f, "0x%lx (%zu bytes)\n", (unsigned long)o->p,
			o->bytes);
}

static void text_group(struct fmt *f, const struct leaks *l,
	const struct leak_group *g, bool objects)
{
	struct object_filter of = {f, g};

	fmt_printf(f,
		"%s leak of %lu byte(s) in %lu object(s) allocated from:\n",
		g->kind == LEAK_DIRECT ? "Direct" : "Indirect", g->bytes,
		g->objects);
	text_stack(f, g->stack);
	fmt_char(f, '\n');
	if (!objects || !l->list)
		return;
	fmt_str(f, "Objects leaked above:\n");
	leaklist_each(l->list, text_object, &of);
	fmt_char(f, '\n');
}

static void text_suppressions(struct fmt *f)
{
	static const char line[] = "---------------------------------------"
				   "--------------\n";
	bool any = false;

	for (size_t i = 0; i < suppress_count(); i++) {
		const struct suppress_rule *r = suppress_at(i);

		if (!r->objects)
			continue;
		if (!any) {
			fmt_str(f, line);
			fmt_str(f, "Suppressions used:\n"
				   "  count      bytes template\n");
		}
		any = true;
		fmt_printf(
			f, "%7lu %10lu %s\n", r->objects, r->bytes, r->pattern);
	}
	if (any) {
		fmt_str(f, line);
		fmt_char(f, '\n');
	}
}

/* Of objects or bytes: without what is suppressed. */
static uint64_t leaked(const uint64_t v[NLEAKKIND])
{
	return v[LEAK_DIRECT] + v[LEAK_INDIRECT];
}

void leakreport_text(struct fmt *f, const struct leaks *l,
	const struct leakreport_options *o)
{
	uint64_t objects = leaked(l->objects), shown = 0;

	if (l->unchecked) {
		fmt_printf(f, "==%d==ERROR: %s: leaks were not checked: %s\n",
			o->pid, o->tool, l->unchecked);
		return;
	}
	if (objects)
		fmt_printf(f,
			"\n================================================="
			"================\n"
			"==%d==ERROR: %s: detected memory leaks\n\n",
			o->pid, o->tool);
	for (size_t i = 0; i < l->n; i++) {
		if (l->group[i].kind == LEAK_SUPPRESSED)
			continue;
		if (o->max_leaks && shown == o->max_leaks) {
			fmt_printf(f, "The %lu top leak(s):\n", shown);
			break;
		}
		text_group(f, l, &l->group[i], o->report_objects);
		shown++;
	}
	if (o->print_suppressions)
		text_suppressions(f);
	if (l->truncated)
		fmt_str(f, "There are more, but no memory to name them.\n");
	if (objects)
		fmt_printf(f,
			"SUMMARY: %s: %lu byte(s) leaked in %lu "
			"allocation(s).\n",
			o->tool, leaked(l->bytes), objects);
}

/* -------- json -------- */

static void json_text(struct fmt *f, const char *s)
{
	json_string(f, s, strlen(s));
}

static void json_hex(struct fmt *f, const uint8_t *p, size_t n)
{
	char digits[2 * MODULE_BUILD_ID];

	n = MIN(n, (size_t)MODULE_BUILD_ID);
	for (size_t i = 0; i < n; i++) {
		digits[2 * i] = "0123456789abcdef"[p[i] >> 4];
		digits[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
	}
	fmt_mem(f, digits, 2 * n);
}

static void json_frame(struct fmt *f, const struct leak_frame *fr)
{
	fmt_char(f, '{');
	if (fr->function) {
		fmt_str(f, "\"function\":");
		json_text(f, fr->function);
		fmt_char(f, ',');
	}
	fmt_printf(f, "\"address\":%lu", (unsigned long)fr->pc - 1);
	if (fr->module) {
		fmt_str(f, ",\"module\":");
		json_text(f, fr->module);
		fmt_str(f, ",\"build_id\":\"");
		json_hex(f, fr->build_id, fr->build_id_len);
		fmt_printf(f, "\",\"offset\":%lu", (unsigned long)fr->offset);
	}
	fmt_str(f, ",\"inlined\":false}");
}

static void json_group(struct fmt *f, const struct leak_group *g)
{
	uintptr_t pc[LEAK_FRAMES];
	size_t n = leak_frames(g->stack, pc, LEAK_FRAMES);
	char id[LEAK_FINGERPRINT];

	leak_fingerprint(g->stack, id);
	fmt_printf(f,
		"{\"kind\":\"%s\",\"objects\":%lu,\"bytes\":%lu,"
		"\"fingerprint\":\"%s\",\"stack\":[",
		g->kind == LEAK_DIRECT ? "direct" : "indirect", g->objects,
		g->bytes, id);
	for (size_t i = 0; i < n; i++) {
		struct leak_frame fr = {.pc = pc[i]};

		if (i)
			fmt_char(f, ',');
		leak_describe(g->stack, &fr);
		json_frame(f, &fr);
	}
	fmt_str(f, "]}");
}

static void json_brief_group(
	struct fmt *f, const struct leak_group *g, struct frametab *frames)
{
	uintptr_t pc[LEAK_FRAMES];
	size_t n = leak_frames(g->stack, pc, LEAK_FRAMES);

	fmt_printf(f,
		"{\"kind\":\"%s\",\"objects\":%lu,\"bytes\":%lu,"
		"\"frames\":\"",
		g->kind == LEAK_DIRECT ? "direct" : "indirect", g->objects,
		g->bytes);
	for (size_t i = 0; i < n; i++) {
		struct leak_frame fr = {.pc = pc[i]};
		uint32_t number;

		leak_describe(g->stack, &fr);
		number = frametab_number(frames, &fr);
		/* The innermost frames say most. */
		if (number == FRAMETAB_FULL)
			break;
		if (i)
			fmt_char(f, ' ');
		fmt_u64(f, number);
	}
	fmt_str(f, "\"}");
}

static void json_frames(struct fmt *f, const struct frametab *frames)
{
	fmt_str(f, ",\"frames\":[");
	for (size_t i = 0; i < frames->n; i++) {
		if (i)
			fmt_char(f, ',');
		json_frame(f, &frames->of[i]);
	}
	fmt_char(f, ']');
}

static void json_groups(struct fmt *f, const struct leaks *l, bool brief)
{
	struct frametab frames = {0};
	bool any = false;

	fmt_str(f, ",\"leaks\":[");
	for (size_t i = 0; i < l->n; i++) {
		if (l->group[i].kind == LEAK_SUPPRESSED)
			continue;
		if (any)
			fmt_char(f, ',');
		if (brief)
			json_brief_group(f, &l->group[i], &frames);
		else
			json_group(f, &l->group[i]);
		any = true;
	}
	fmt_char(f, ']');
	if (brief)
		json_frames(f, &frames);
	frametab_free(&frames);
}

static void json_unused(struct fmt *f)
{
	bool any = false;

	fmt_str(f, ",\"unused_suppressions\":[");
	for (size_t i = 0; i < suppress_count(); i++) {
		const struct suppress_rule *r = suppress_at(i);

		if (r->objects)
			continue;
		if (any)
			fmt_char(f, ',');
		/* The line as it was given. */
		json_text(f, r->pattern - 5);
		any = true;
	}
	fmt_char(f, ']');
}

void leakreport_json(struct fmt *f, const struct leaks *l,
	const struct leakreport_options *o)
{
	const char *status = l->unchecked			  ? "unchecked"
			     : leaked(l->objects) || l->truncated ? "leaks"
								  : "clean";

	fmt_printf(f, "{\"version\":1,\"pid\":%d,\"exe\":", o->pid);
	json_text(f, o->exe ? o->exe : "");
	if (o->brief && o->next) {
		fmt_str(f, ",\"exec\":");
		json_text(f, o->next);
	}
	fmt_printf(f, ",\"status\":\"%s\",\"reason\":", status);
	json_text(f, l->unchecked ? l->unchecked : "");
	json_groups(f, l, o->brief);
	fmt_printf(f, ",\"suppressed\":{\"objects\":%lu,\"bytes\":%lu}",
		l->objects[LEAK_SUPPRESSED], l->bytes[LEAK_SUPPRESSED]);
	json_unused(f);
	fmt_printf(f, ",\"live\":{\"objects\":%lu,\"bytes\":%lu}",
		l->live_objects, l->live_bytes);
	if (o->heap) {
		fmt_str(f, ",\"heap\":");
		o->heap(f);
	}
	fmt_str(f, "}\n");
}
