/* SPDX-License-Identifier: MIT */
/*
 * symbolize_dw: frames from DWARF by libdw, else names from symbol tables.
 *
 *	address ──▶ unit ──▶ function ──▶ calls inlined there, innermost last
 *	           (aranges,  (table of    (descent through the blocks that
 *	            or ranges  the unit's   hold the address)
 *	            of units)  ranges)
 *
 * libdwfl finds the files that belong to a module: its own DWARF, a separate
 * file by build id or debug link, the compressed .gnu_debugdata.
 *
 * The position of the innermost frame comes from the line table; that of a
 * frame further out is where the inner one was called (DW_AT_call_file and
 * _line). The function of each comes from its own entry.
 *
 * Each module has a Dwfl of its own: executables that are not relocatable
 * would claim the same addresses in a common one.
 *
 * Rejected: dwarf_getscopes(), which walks all of the unit for each address,
 * 300 times slower on a large unit than a table made once.
 */
#include "symbolize_dw.h"
#include "mem.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <elfutils/version.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRING(x) #x
#define STRINGIFY(x) STRING(x)

/* A range of addresses and the entry it belongs to; half open. */
struct span {
	Dwarf_Addr lo, hi;
	Dwarf_Addr max_hi; /* of this and all before it */
	Dwarf_Die die;
};

struct spans {
	struct span *of;
	size_t n;
};

struct unit {
	const void *key; /* of the unit's entry */
	Dwarf_Die lines; /* the entry that has the line table */
	Dwarf_Die code;	 /* the same, or the one in a .dwo file */
	struct spans functions;
	struct unit *next;
};

struct dw_module {
	Dwfl *dwfl;
	Dwfl_Module *mod;
	GElf_Addr bias; /* address in dwfl less the file's own */
	Dwarf *dwarf;	/* NULL: there is none */
	Dwarf_Addr dwarf_bias;
	struct spans units;
	bool have_units;
	struct unit *seen;
};

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

static bool build_id_is(Dwfl_Module *mod, const char *want)
{
	const unsigned char *bits;
	GElf_Addr where;
	int n = dwfl_module_build_id(mod, &bits, &where);

	if (!want || !*want)
		return true;
	if (n <= 0 || strlen(want) != 2 * (size_t)n)
		return false;
	for (int i = 0; i < n; i++) {
		char hex[3] = {want[2 * i], want[2 * i + 1], '\0'};

		if (strtoul(hex, NULL, 16) != bits[i])
			return false;
	}
	return true;
}

struct dw_module *dw_open(
	const char *path, const char *build_id, const char **why)
{
	struct dw_module *m;

	if (access(path, R_OK)) {
		*why = "the file can't be read";
		return NULL;
	}
	m = mem_zero(1, sizeof(*m));
	m->dwfl = dwfl_begin(&callbacks);
	if (m->dwfl) {
		dwfl_report_begin(m->dwfl);
		m->mod = dwfl_report_offline(m->dwfl, path, path, -1);
		dwfl_report_end(m->dwfl, NULL, NULL);
	}
	if (!m->mod || !dwfl_module_getelf(m->mod, &m->bias)) {
		*why = "no ELF file";
	} else if (!build_id_is(m->mod, build_id)) {
		*why = "the file has another build id now";
	} else {
		m->dwarf = dwfl_module_getdwarf(m->mod, &m->dwarf_bias);
		return m;
	}
	dw_close(m);
	return NULL;
}

void dw_close(struct dw_module *m)
{
	while (m->seen) {
		struct unit *u = m->seen;

		m->seen = u->next;
		free(u->functions.of);
		free(u);
	}
	free(m->units.of);
	if (m->dwfl)
		dwfl_end(m->dwfl);
	free(m);
}

char *dw_debug_file(const char *build_id)
{
	if (strlen(build_id) < 3 ||
		strspn(build_id, "0123456789abcdef") != strlen(build_id))
		return NULL;
	return mem_printf("/usr/lib/debug/.build-id/%.2s/%s.debug", build_id,
		build_id + 2);
}

uint64_t dw_address(struct dw_module *m, uint64_t file_offset)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(m->mod, &bias);
	size_t n = 0;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		if (gelf_getphdr(elf, (int)i, &p) && p.p_type == PT_LOAD &&
			file_offset >= p.p_offset &&
			file_offset - p.p_offset < p.p_filesz)
			return file_offset - p.p_offset + p.p_vaddr;
	}
	return UINT64_MAX;
}

/* Tables of ranges. */

static void spans_add(struct spans *s, Dwarf_Die *die)
{
	Dwarf_Addr base, lo, hi;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0) {
		if (lo >= hi)
			continue;
		s->of = mem_grow(s->of, s->n, sizeof(*s->of));
		s->of[s->n++] = (struct span){lo, hi, 0, *die};
	}
}

static int by_lo(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->hi == y->hi ? 0 : x->hi > y->hi ? -1 : 1;
}

static void spans_sort(struct spans *s)
{
	Dwarf_Addr max = 0;

	if (s->n)
		qsort(s->of, s->n, sizeof(*s->of), by_lo);
	for (size_t i = 0; i < s->n; i++)
		s->of[i].max_hi = max = MAX(max, s->of[i].hi);
}

/* The innermost entry at an address: the last one that begins before it. */
static Dwarf_Die *spans_find(const struct spans *s, Dwarf_Addr pc)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->of[mid].lo <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo-- && s->of[lo].max_hi > pc)
		if (s->of[lo].hi > pc)
			return &s->of[lo].die;
	return NULL;
}

/* Functions may stand in namespaces, in classes and in one another. */
static void add_functions(struct spans *s, Dwarf_Die *parent)
{
	Dwarf_Die die;

	if (dwarf_child(parent, &die))
		return;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			spans_add(s, &die);
			/* fallthrough */
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_lexical_block:
			add_functions(s, &die);
		}
	} while (!dwarf_siblingof(&die, &die));
}

/* For compilers that write no .debug_aranges. */
static void add_units(struct dw_module *m)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, sub;

	m->have_units = true;
	while (!dwarf_get_units(m->dwarf, cu, &cu, NULL, NULL, &die, &sub))
		spans_add(&m->units, &die);
	spans_sort(&m->units);
}

static struct unit *unit_of(struct dw_module *m, Dwarf_Die *die)
{
	struct unit *u;
	Dwarf_Die cu, sub = {0};
	uint8_t type = DW_UT_compile;

	for (u = m->seen; u; u = u->next)
		if (u->key == die->addr)
			return u;
	u = mem_zero(1, sizeof(*u));
	u->key = die->addr;
	u->lines = u->code = *die;
	if (!dwarf_cu_info(die->cu, NULL, &type, &cu, &sub, NULL, NULL, NULL) &&
		type == DW_UT_skeleton && sub.addr)
		u->code = sub;
	add_functions(&u->functions, &u->code);
	spans_sort(&u->functions);
	u->next = m->seen;
	m->seen = u;
	return u;
}

static struct unit *find_unit(struct dw_module *m, Dwarf_Addr pc)
{
	Dwarf_Die die, *found;

	if (dwarf_addrdie(m->dwarf, pc, &die))
		return unit_of(m, &die);
	if (!m->have_units)
		add_units(m);
	found = spans_find(&m->units, pc);
	return found ? unit_of(m, found) : NULL;
}

/* What an entry says. */

static const char *name_of(Dwarf_Die *die)
{
	static const unsigned names[] = {
		DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name};

	for (size_t i = 0; i < NELEM(names); i++) {
		Dwarf_Attribute a;
		const char *s = dwarf_formstring(
			dwarf_attr_integrate(die, names[i], &a));

		if (s)
			return s;
	}
	return NULL;
}

static unsigned number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute a;
	Dwarf_Word v;

	if (dwarf_formudata(dwarf_attr_integrate(die, name, &a), &v))
		return 0;
	return (unsigned)v;
}

/* Absolute, if it is known where the compiler was run. */
static char *full_path(struct unit *u, const char *file)
{
	Dwarf_Attribute a;
	const char *dir;

	if (!file)
		return NULL;
	dir = dwarf_formstring(dwarf_attr(&u->lines, DW_AT_comp_dir, &a));
	if (file[0] == '/' || !dir || dir[0] != '/')
		return mem_copy(file);
	return mem_printf("%s/%s", dir, file);
}

static void position(struct unit *u, Dwarf_Addr pc, struct dw_frame *f)
{
	Dwarf_Line *line = dwarf_getsrc_die(&u->lines, pc);
	int number;

	if (!line)
		return;
	f->file = full_path(u, dwarf_linesrc(line, NULL, NULL));
	if (!dwarf_lineno(line, &number))
		f->line = (unsigned)number;
}

static void call_site(struct unit *u, Dwarf_Die *call, struct dw_frame *f)
{
	unsigned index = number_of(call, DW_AT_call_file);
	Dwarf_Files *files;
	size_t n;

	f->line = number_of(call, DW_AT_call_line);
	if (!dwarf_getsrcfiles(&u->code, &files, &n) && index < n)
		f->file = full_path(u, dwarf_filesrc(files, index, NULL, NULL));
}

/* The child that holds the address and may hold more. */
static bool descend(Dwarf_Die *die, Dwarf_Addr pc, Dwarf_Die *child)
{
	if (dwarf_child(die, child))
		return false;
	do {
		switch (dwarf_tag(child)) {
		case DW_TAG_inlined_subroutine:
		case DW_TAG_lexical_block:
		case DW_TAG_try_block:
		case DW_TAG_catch_block:
			if (dwarf_haspc(child, pc) > 0)
				return true;
		}
	} while (!dwarf_siblingof(child, child));
	return false;
}

/*
 * The function and the calls inlined into it at pc, outermost first. Of too
 * many the innermost ones are left out.
 */
static size_t chain_at(Dwarf_Die function, Dwarf_Addr pc, Dwarf_Die *chain)
{
	Dwarf_Die die = function, child;
	size_t n = 0;

	chain[n++] = function;
	while (n < DW_FRAMES_MAX && descend(&die, pc, &child)) {
		die = child;
		if (dwarf_tag(&die) == DW_TAG_inlined_subroutine)
			chain[n++] = die;
	}
	return n;
}

static size_t dwarf_frames(
	struct dw_module *m, Dwarf_Addr pc, struct dw_frame *of)
{
	struct unit *u = find_unit(m, pc);
	Dwarf_Die *function = u ? spans_find(&u->functions, pc) : NULL;
	Dwarf_Die chain[DW_FRAMES_MAX];
	size_t n;

	if (!u)
		return 0;
	of[0] = (struct dw_frame){0};
	position(u, pc, &of[0]);
	if (!function)
		return of[0].file ? 1 : 0;
	n = chain_at(*function, pc, chain);
	for (size_t i = 0; i < n; i++) {
		Dwarf_Die *die = &chain[n - 1 - i];

		of[i].name = name_of(die);
		of[i].start_line = number_of(die, DW_AT_decl_line);
		if (i + 1 < n) {
			of[i + 1] = (struct dw_frame){0};
			call_site(u, die, &of[i + 1]);
		}
	}
	return n;
}

size_t dw_frames(struct dw_module *m, uint64_t address,
	struct dw_frame of[DW_FRAMES_MAX])
{
	GElf_Addr at = address + m->bias;
	size_t n = 0;

	if (m->dwarf)
		n = dwarf_frames(m, at - m->dwarf_bias, of);
	if (n && of[n - 1].name)
		return n;
	/* Assembly, or no DWARF: the symbol tables may know. */
	if (!n)
		of[n++] = (struct dw_frame){0};
	of[n - 1].name = dwfl_module_addrname(m->mod, at);
	return of[n - 1].name || of[n - 1].file ? n : 0;
}

const char *dw_version(void)
{
	return "libdw 0." STRINGIFY(_ELFUTILS_VERSION);
}
