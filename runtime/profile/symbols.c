/* SPDX-License-Identifier: MIT */
/*
 * symbols: names of functions, read from the files of the modules.
 *
 *	module --path--> file: section headers --> .symtab, else .dynsym
 *	         its functions, sorted: [ address | name ] ... --> strings
 *
 * Read once for each module, and kept until symbols_forget(). The dynamic
 * symbols that are in memory anyhow would do for exported functions only; and
 * dladdr takes the loader's lock.
 *
 * Invariants:
 *   I1  functions of a table are sorted by address, and one address has one
 *       name (of a function with several names the plainest one);
 *   I2  every name lies inside the table's strings and ends there;
 *   I3  tables take no more than LIMIT bytes together.
 *
 * Locks: symbols.lock. Lookups only try it: the thread that holds it may be
 * the one that a fatal signal has interrupted.
 */
#include "profile/symbols.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/syscall.h"
#include "os/sysmem.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum {
	LIMIT = 256 << 20, /* bytes; a browser's .symtab has 100 MiB */
};

struct symbol {
	uint64_t value; /* as in the file */
	uint32_t size, name;
};

/* Head of a mapping: symbols and strings follow. */
struct symtab {
	struct symtab *next;
	const struct module *module;
	size_t mapped; /* bytes, this head included */
	size_t n;
	struct symbol *symbol;
	char *strings; /* NUL at the end */
	size_t nstrings;
};

static struct {
	struct lock lock;
	struct symtab *list;
	size_t mapped;
} symbols = {.lock = LOCK_INIT(LOCK_PROFILE)};

/* A file while it is read. */
struct file {
	int fd;
	Elf64_Ehdr eh;
};

static bool read_at(const struct file *f, void *to, size_t n, uint64_t offset)
{
	while (n) {
		long r = sys4(SYS_pread64, f->fd, to, n, offset);

		if (r == -EINTR)
			continue;
		if (sys_failed(r) || r == 0)
			return false;
		to = (char *)to + r;
		n -= (size_t)r;
		offset += (uint64_t)r;
	}
	return true;
}

static bool notes_have(const char *p, size_t n, const struct module *m)
{
	while (n >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *note = (const void *)p;
		size_t name = ALIGN_UP((size_t)note->n_namesz, 4);
		size_t desc = ALIGN_UP((size_t)note->n_descsz, 4);
		const char *id = p + sizeof(*note) + name;

		if (n - sizeof(*note) < name + desc)
			return false;
		if (note->n_type == NT_GNU_BUILD_ID && name == 4 &&
			note->n_descsz >= m->build_id_len &&
			!memcmp(id, m->build_id, m->build_id_len))
			return true;
		p = id + desc;
		n -= sizeof(*note) + name + desc;
	}
	return false;
}

/* Is it the file that was mapped? Without a build id there is no telling. */
static bool is_module(const struct file *f, const struct module *m)
{
	_Alignas(8) char buf[1024];
	Elf64_Phdr ph;

	if (!m->build_id_len)
		return true;
	for (unsigned i = 0; i < f->eh.e_phnum; i++) {
		if (!read_at(
			    f, &ph, sizeof(ph), f->eh.e_phoff + i * sizeof(ph)))
			return false;
		if (ph.p_type != PT_NOTE || ph.p_filesz > sizeof(buf) ||
			!read_at(f, buf, ph.p_filesz, ph.p_offset))
			continue;
		if (notes_have(buf, ph.p_filesz, m))
			return true;
	}
	return false;
}

static bool read_section(const struct file *f, size_t i, Elf64_Shdr *sh)
{
	return i < f->eh.e_shnum &&
	       read_at(f, sh, sizeof(*sh), f->eh.e_shoff + i * sizeof(*sh));
}

/* The better of the two symbol tables, and its strings. */
static bool find_table(
	const struct file *f, Elf64_Shdr *table, Elf64_Shdr *strings)
{
	Elf64_Shdr sh;
	bool found = false;

	*table = (Elf64_Shdr){0};
	for (size_t i = 0; i < f->eh.e_shnum; i++) {
		if (!read_section(f, i, &sh))
			return false;
		if (sh.sh_type == SHT_SYMTAB ||
			(sh.sh_type == SHT_DYNSYM && !found)) {
			*table = sh;
			found = true;
		}
	}
	return found && table->sh_entsize == sizeof(Elf64_Sym) &&
	       read_section(f, table->sh_link, strings) &&
	       table->sh_size < LIMIT && strings->sh_size < LIMIT;
}

/* Lower is plainer: global, without underscores, short. */
static unsigned fancy(const struct symtab *t, const struct symbol *s)
{
	const char *name = t->strings + s->name;

	return (unsigned)(strspn(name, "_") * 1000 + MIN(strlen(name), 999ul));
}

/* By address; at one address the plainest name first. */
static bool before(
	const struct symtab *t, const struct symbol *a, const struct symbol *b)
{
	if (a->value != b->value)
		return a->value < b->value;
	return fancy(t, a) < fancy(t, b);
}

static void sift_down(struct symtab *t, size_t i, size_t n)
{
	struct symbol s = t->symbol[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n &&
			before(t, &t->symbol[child], &t->symbol[child + 1]))
			child++;
		if (!before(t, &s, &t->symbol[child]))
			break;
		t->symbol[i] = t->symbol[child];
		i = child;
	}
	t->symbol[i] = s;
}

/* Heapsort: in place, no recursion, no bad case. */
static void sort(struct symtab *t)
{
	size_t kept = 0;

	for (size_t i = t->n / 2; i-- > 0;)
		sift_down(t, i, t->n);
	for (size_t n = t->n; n-- > 1;) {
		struct symbol s = t->symbol[0];

		t->symbol[0] = t->symbol[n];
		t->symbol[n] = s;
		sift_down(t, 0, n);
	}
	for (size_t i = 0; i < t->n; i++)
		if (!kept || t->symbol[kept - 1].value != t->symbol[i].value)
			t->symbol[kept++] = t->symbol[i];
	t->n = kept;
}

/*
 * Keep the functions among n raw symbols, which lie where the table's own will
 * be: those are smaller, and none is overwritten before it was read.
 */
static void pick_functions(struct symtab *t, size_t n)
{
	const char *raw = (const char *)t->symbol;

	_Static_assert(sizeof(struct symbol) <= sizeof(Elf64_Sym), "");
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym sym;
		unsigned type;

		memcpy(&sym, raw + i * sizeof(sym), sizeof(sym));
		type = ELF64_ST_TYPE(sym.st_info);
		if ((type != STT_FUNC && type != STT_GNU_IFUNC) ||
			sym.st_shndx == SHN_UNDEF || !sym.st_name ||
			sym.st_name >= t->nstrings)
			continue;
		t->symbol[t->n++] = (struct symbol){.value = sym.st_value,
			.size = (uint32_t)MIN(sym.st_size, UINT32_MAX),
			.name = sym.st_name};
	}
}

static struct symtab *read_table(const struct file *f)
{
	Elf64_Shdr table, strings;
	struct symtab *t;
	size_t size;

	if (!find_table(f, &table, &strings))
		return NULL;
	size = ALIGN_UP(sizeof(*t) + table.sh_size + strings.sh_size + 1,
		(size_t)OS_PAGE);
	if (symbols.mapped + size > LIMIT)
		return NULL;
	t = sysmem_map(NULL, size, SYS_OTHER);
	if (!t)
		return NULL;
	t->mapped = size;
	t->symbol = (struct symbol *)(t + 1);
	t->strings = (char *)t->symbol + table.sh_size;
	t->nstrings = strings.sh_size;
	if (!read_at(f, t->symbol, table.sh_size, table.sh_offset) ||
		!read_at(f, t->strings, strings.sh_size, strings.sh_offset)) {
		sysmem_unmap(t, size, SYS_OTHER);
		return NULL;
	}
	t->strings[t->nstrings] = '\0';
	pick_functions(t, table.sh_size / sizeof(Elf64_Sym));
	sort(t);
	return t;
}

static struct symtab *open_table(const struct module *m)
{
	struct symtab *t = NULL;
	struct file f;
	long fd = sys3(SYS_open, m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

	if (sys_failed(fd))
		return NULL;
	f.fd = (int)fd;
	if (read_at(&f, &f.eh, sizeof(f.eh), 0) &&
		!memcmp(f.eh.e_ident, ELFMAG, SELFMAG) &&
		f.eh.e_ident[EI_CLASS] == ELFCLASS64 &&
		f.eh.e_phentsize == sizeof(Elf64_Phdr) &&
		f.eh.e_shentsize == sizeof(Elf64_Shdr) && is_module(&f, m))
		t = read_table(&f);
	sys1(SYS_close, fd);
	return t;
}

/* The table of m, which may be empty; NULL if there is no memory for it. */
static struct symtab *table_of(const struct module *m)
{
	struct symtab *t;

	for (t = symbols.list; t; t = t->next)
		if (t->module == m)
			return t;
	t = open_table(m);
	if (!t) { /* remember that, too */
		t = sysmem_map(NULL, OS_PAGE, SYS_OTHER);
		if (!t)
			return NULL;
		t->mapped = OS_PAGE;
	}
	t->module = m;
	t->next = symbols.list;
	symbols.list = t;
	symbols.mapped += t->mapped;
	return t;
}

/* A function without a size reaches to the next one. */
static const char *search(
	const struct symtab *t, uint64_t at, uintptr_t *offset)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->symbol[mid].value <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	*offset = at - t->symbol[lo - 1].value;
	if (t->symbol[lo - 1].size && *offset >= t->symbol[lo - 1].size)
		return NULL;
	return t->strings + t->symbol[lo - 1].name;
}

const char *symbols_find(
	const struct module *m, uintptr_t pc, uintptr_t *offset)
{
	const char *name = NULL;
	struct symtab *t;
	bool code = false;

	for (size_t i = 0; i < m->ntext; i++)
		code |= pc - m->text[i].lo < m->text[i].hi - m->text[i].lo;
	if (!code || !trylock(&symbols.lock))
		return NULL;
	t = table_of(m);
	if (t)
		name = search(t, pc - m->bias, offset);
	unlock(&symbols.lock);
	return name;
}

void symbols_forget(void)
{
	lock(&symbols.lock);
	while (symbols.list) {
		struct symtab *t = symbols.list;

		symbols.list = t->next;
		sysmem_unmap(t, t->mapped, SYS_OTHER);
	}
	symbols.mapped = 0;
	unlock(&symbols.lock);
}

void symbols_prefork(void)
{
	lock(&symbols.lock);
}

void symbols_postfork(bool child)
{
	if (child)
		lock_reinit(&symbols.lock);
	else
		unlock(&symbols.lock);
}
