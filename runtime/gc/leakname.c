/* SPDX-License-Identifier: MIT */
/* leakname: see the header. */
#include "gc/leakname.h"
#include "profile/stacktab.h"
#include "profile/symbols.h"

#include <string.h>

static void describe(uint32_t stack, struct leak_frame *f)
{
	const struct module *m =
		modules_find(f->pc - 1, stacktab_generation(stack));

	if (!m)
		return;
	f->module = m->path;
	f->build_id = m->build_id;
	f->build_id_len = m->build_id_len;
	f->offset = f->pc - 1 - m->bias;
	f->function = symbols_find(m, f->pc - 1, &f->into);
}

struct leak_names leak_names = {stacktab_frames, describe};

size_t leak_frames(uint32_t stack, uintptr_t *pc, size_t max)
{
	size_t n;

	if (!stack || stack == UINT32_MAX) /* OBJINFO_IGNORED */
		return 0;
	n = leak_names.frames(stack, pc, max);
	return MIN(n, max);
}

void leak_describe(uint32_t stack, struct leak_frame *f)
{
	uintptr_t pc = f->pc;

	memset(f, 0, sizeof(*f));
	f->pc = pc;
	leak_names.describe(stack, f);
}

static uint64_t hash(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	return h * 0x100000001b3; /* the byte 0 */
}

void leak_fingerprint(uint32_t stack, char out[LEAK_FINGERPRINT])
{
	uintptr_t pc[LEAK_FRAMES];
	size_t n = leak_frames(stack, pc, LEAK_FRAMES);
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++) {
		struct leak_frame f = {.pc = pc[i]};
		const char *base;

		leak_describe(stack, &f);
		base = f.module ? strrchr(f.module, '/') : NULL;
		h = hash(h, base ? base + 1 : f.module);
		h = hash(h, f.function);
		if (f.function && !strcmp(f.function, "main"))
			break;
	}
	for (int i = 15; i >= 0; i--, h >>= 4)
		out[i] = "0123456789abcdef"[h & 15];
	out[16] = '\0';
}
