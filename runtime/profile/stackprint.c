/* SPDX-License-Identifier: MIT */
/*
 * stackprint: frames as lines of text.
 *
 * Last words of a program that misused the heap: the stack is what its author
 * needs first. By then anything may be broken or held by a thread that does
 * not run, so nothing here allocates or waits: modules are found in our own
 * table (modules.c), names are read from the files (symbols.c), the stack is
 * walked without the loader's lock (unwind.c).
 *
 * Names are printed as they stand in the symbol table; pipe through c++filt.
 */
#include "profile/stackprint.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/symbols.h"
#include "profile/unwind.h"

#include <unistd.h>

/* Frames in last words: the misuse is near the inner end. */
enum { MAX_FRAMES = 64 };

static void print_frame(
	struct fmt *f, size_t number, uintptr_t at, uint32_t generation)
{
	const struct module *m = modules_find(at, generation);
	uintptr_t offset = 0;
	const char *name = m ? symbols_find(m, at, &offset) : NULL;

	fmt_printf(f, "    #%zu 0x%lx", number, (unsigned long)at);
	if (name)
		fmt_printf(f, " in %s+0x%lx", name, (unsigned long)offset);
	if (m)
		fmt_printf(f, " (%s+0x%lx)", m->path,
			(unsigned long)(at - m->bias));
	fmt_char(f, '\n');
}

void stackprint(
	struct fmt *f, const uintptr_t *pc, size_t n, uint32_t generation)
{
	for (size_t i = 0; i < n; i++)
		print_frame(f, i, pc[i] - 1, generation);
}

void stackprint_id(struct fmt *f, uint32_t id)
{
	uintptr_t pc[MAX_FRAMES];
	size_t n = stacktab_frames(id, pc, MAX_FRAMES);

	stackprint(f, pc, MIN(n, (size_t)MAX_FRAMES), stacktab_generation(id));
}

static void print_from(struct fmt *f, const struct unwind_regs *r)
{
	uintptr_t pc[MAX_FRAMES];
	size_t n = unwind_program(r, pc, MAX_FRAMES);

	stackprint(f, pc, n, modules_generation());
}

NOINLINE void stackprint_here(struct fmt *f)
{
	struct unwind_regs r;

	unwind_caller(&r);
	print_from(f, &r);
}

NOINLINE void stackprint_fatal(void)
{
	struct unwind_regs r;
	char buf[1024];
	struct fmt f;

	unwind_caller(&r);
	fmt_init(&f, buf, sizeof(buf), STDERR_FILENO);
	print_from(&f, &r);
	fmt_flush(&f);
}
