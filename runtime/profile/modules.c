/* SPDX-License-Identifier: MIT */
/*
 * modules: which file an address belonged to, and when.
 *
 * A profile is read long after the stacks in it were taken; by then a plugin
 * may be gone and another one may lie at its addresses. So modules are noted
 * when they are first seen and never forgotten. They are seen
 *   - by modules_refresh(): start-up, dlopen, before a report;
 *   - by modules_note(): at the first walk through any call site. This finds
 *     what libc loads behind our back (gconv, nss, libgcc_s), and it finds
 *     that a module has taken the place of another one.
 *
 *	generation	0	    1		 2
 *	0x7f0000	[ libfoo   ][ libbar ...........
 *	0x7f8000	      [ libc ...................
 *			(libc joined without a new generation)
 *
 * Invariants, walked by modules_check():
 *   I1  two modules whose code overlaps have disjoint lives [born, died);
 *   I2  a module below count changes only in died, once.
 *
 * Locks: modules.lock for additions. modules_refresh() takes it inside
 * dl_iterate_phdr's callback, after the loader's lock; modules_note() only
 * tries it. So neither can wait in a circle.
 */
#include "profile/modules.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "base/lock.h"
#include "base/syscall.h"
#include "os/sandbox.h"
#include "os/sysmem.h"
#include "os/tasks.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

enum {
	CHUNK_SHIFT = 5,
	CHUNK_MODULES = 1 << CHUNK_SHIFT,
	NCHUNK = MODULES_MAX / CHUNK_MODULES,
	TEXT_CHUNK = 16384, /* bytes of paths mapped at a time */
	FORK_TRIES = 200,   /* of 50 us and more, that fork waits for us */
};

/* All of a module's code; two modules' code can't overlap while both are in. */
struct span {
	uintptr_t lo, hi;
};

struct chunk {
	struct span span[CHUNK_MODULES]; /* apart, because lookups scan it */
	struct module module[CHUNK_MODULES];
};

enum { CHUNK_SIZE = ALIGN_UP(sizeof(struct chunk), (size_t)OS_PAGE) };

static struct {
	struct lock lock;
	uint32_t count;	     /* written under lock */
	uint32_t generation; /* written under lock */
	struct chunk *chunk[NCHUNK];
	char *text; /* under lock: the rest of the current chunk of paths */
	size_t text_left;
	bool iterated;		       /* under lock, as the next two */
	unsigned long long adds, subs; /* the loader's, at the last refresh */
	char exe[PATH_MAX];	       /* changes under lock */
	bool exe_resolved;
} modules = {.lock = LOCK_INIT(LOCK_PROFILE)};

extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

static struct chunk *chunk_of(size_t i)
{
	return modules.chunk[i >> CHUNK_SHIFT];
}

static struct module *module_of(size_t i)
{
	return &chunk_of(i)->module[i % CHUNK_MODULES];
}

/*
 * The program's own file, for which the loader has "": what it was started as,
 * until resolve_exe() knows better. No system call: a new call site may show up
 * in a sandbox. The text is replaced in place, modules point to it.
 */
static const char *exe_path(void)
{
	const char *name;
	size_t n;

	if (modules.exe[0])
		return modules.exe;
	name = (const char *)getauxval(AT_EXECFN);
	n = name ? strnlen(name, sizeof(modules.exe) - 1) : 0;
	memcpy(modules.exe, n ? name : "?", n ? n : 1);
	return modules.exe;
}

/* Its real path, where asking is allowed. */
static void resolve_exe(void)
{
	char path[PATH_MAX];
	long n;

	if (modules.exe_resolved || sandboxed != SANDBOX_NONE)
		return;
	n = sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path,
		sizeof(path) - 1);
	lock(&modules.lock);
	modules.exe_resolved = true;
	if (!sys_failed(n) && n > 0) {
		path[n] = '\0';
		memcpy(modules.exe, path, (size_t)n + 1);
	}
	unlock(&modules.lock);
}

static const char *keep_path(const char *path)
{
	size_t n = strnlen(path, PATH_MAX) + 1;
	char *p;

	if (path == modules.exe)
		return path;
	if (n > modules.text_left) {
		p = sysmem_map(NULL, TEXT_CHUNK, SYS_BUCKHASH);
		if (!p)
			return NULL;
		modules.text = p;
		modules.text_left = TEXT_CHUNK;
	}
	p = modules.text;
	memcpy(p, path, n - 1);
	p[n - 1] = '\0';
	modules.text += n;
	modules.text_left -= n;
	return p;
}

static void read_build_id(
	struct module *m, uintptr_t p, uintptr_t end, size_t align)
{
	while (p + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *note = (const void *)p;
		uintptr_t name = p + sizeof(*note);
		uintptr_t desc = name + ALIGN_UP(note->n_namesz, align);

		p = desc + ALIGN_UP(note->n_descsz, align);
		if (p > end || p <= desc)
			return;
		if (note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 ||
			memcmp((const void *)name, "GNU", 4))
			continue;
		m->build_id_len =
			(uint8_t)MIN(note->n_descsz, (uint32_t)MODULE_BUILD_ID);
		memcpy(m->build_id, (const void *)desc, m->build_id_len);
		return;
	}
}

/* Everything about a loaded module but path, born and died. */
static void describe(
	struct module *m, uintptr_t bias, const ElfW(Phdr) * ph, size_t n)
{
	*m = (struct module){
		.lo = UINTPTR_MAX, .bias = bias, .died = UINT32_MAX};
	for (size_t i = 0; i < n; i++) {
		uintptr_t lo = bias + ph[i].p_vaddr;
		uintptr_t hi = lo + ph[i].p_memsz;

		switch (ph[i].p_type) {
		case PT_LOAD:
			m->lo = MIN(m->lo, ALIGN_DOWN(lo, (size_t)OS_PAGE));
			m->hi = MAX(m->hi, ALIGN_UP(hi, (size_t)OS_PAGE));
			if (!(ph[i].p_flags & PF_X) || m->ntext == MODULE_TEXTS)
				break;
			m->text[m->ntext].lo = lo;
			m->text[m->ntext].hi = hi;
			m->text[m->ntext++].offset = ph[i].p_offset;
			break;
		case PT_NOTE:
			if (!m->build_id_len)
				read_build_id(
					m, lo, hi, ph[i].p_align == 8 ? 8 : 4);
			break;
		case PT_GNU_EH_FRAME:
			m->eh_frame_hdr = lo;
			break;
		}
	}
}

static struct span span_of(const struct module *m)
{
	struct span s = {m->text[0].lo, m->text[0].hi};

	for (size_t i = 1; i < m->ntext; i++) {
		s.lo = MIN(s.lo, m->text[i].lo);
		s.hi = MAX(s.hi, m->text[i].hi);
	}
	return s;
}

static bool overlap(struct span a, struct span b)
{
	return a.lo < b.hi && b.lo < a.hi;
}

/* Module i is not dead and overlaps s. */
static bool in_the_way(size_t i, struct span s)
{
	return overlap(chunk_of(i)->span[i % CHUNK_MODULES], s) &&
	       load_relaxed(&module_of(i)->died) == UINT32_MAX;
}

static bool same(
	const struct module *a, const struct module *b, const char *path)
{
	return a->lo == b->lo && a->hi == b->hi && a->bias == b->bias &&
	       a->build_id_len == b->build_id_len &&
	       !memcmp(a->build_id, b->build_id, a->build_id_len) &&
	       !strcmp(a->path, path);
}

/*
 * Under lock: add *new unless it is there. Whatever it overlaps must have
 * been unloaded, and its life ends. True if there was such a module.
 */
static bool add(struct module *new, const char *path)
{
	uint32_t n = modules.count, generation = modules.generation;
	struct chunk **chunk = &modules.chunk[n >> CHUNK_SHIFT];
	struct span span = span_of(new);
	bool replaces = false;

	if (!new->ntext)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!in_the_way(i, span))
			continue;
		if (same(module_of(i), new, path))
			return false;
		replaces = true;
	}
	if (n == MODULES_MAX)
		return false;
	if (!*chunk)
		*chunk = sysmem_map(NULL, CHUNK_SIZE, SYS_BUCKHASH);
	new->path = keep_path(path);
	if (!*chunk || !new->path)
		return false;
	new->born = generation + replaces;
	/* relaxed: matters to lookups of a generation not yet out. */
	for (size_t i = 0; replaces && i < n; i++)
		if (in_the_way(i, span))
			store_relaxed(&module_of(i)->died, new->born);
	*module_of(n) = *new;
	chunk_of(n)->span[n % CHUNK_MODULES] = span;
	/* release [module] */
	store_release(&modules.count, n + 1);
	/* release [generation] */
	store_release(&modules.generation, new->born);
	return replaces;
}

/* One module of dl_iterate_phdr; stops at once if nothing has changed. */
static int refresh_one(
	struct dl_phdr_info *info, size_t size UNUSED, void *first)
{
	struct module m;
	bool done;

	lock(&modules.lock);
	done = *(bool *)first && modules.iterated &&
	       modules.adds == info->dlpi_adds &&
	       modules.subs == info->dlpi_subs;
	*(bool *)first = false;
	modules.iterated = true;
	modules.adds = info->dlpi_adds;
	modules.subs = info->dlpi_subs;
	if (!done) {
		describe(
			&m, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
		add(&m, info->dlpi_name && info->dlpi_name[0] ? info->dlpi_name
							      : exe_path());
	}
	unlock(&modules.lock);
	return done;
}

/*
 * libc's fork leaves the loader's lock as it is: in the child nobody would give
 * it back, and the next exception or dlopen() there would wait for ever. So no
 * thread forks while another one is in dl_iterate_phdr() on our behalf.
 *
 * Threads of the program may be in there all the same (dlopen, dlclose). So in
 * the child of a process with several threads we don't ask for the lock: what
 * is loaded there is found by modules_note() alone.
 */
static struct {
	uint32_t inside;  /* threads */
	uint32_t forking; /* 1: nobody enters */
	bool several;	  /* threads at the fork under way */
	bool orphaned;	  /* the lock may be held by nobody */
} iterating;

static void pause_briefly(void)
{
	struct timespec ts = {0, 50000};

	sys2(SYS_nanosleep, &ts, NULL);
}

static void enter_loader(void)
{
	/* seq_cst, here and in keep_out(): one of us sees the other. */
	while (__atomic_add_fetch(&iterating.inside, 1, __ATOMIC_SEQ_CST),
		__atomic_load_n(&iterating.forking, __ATOMIC_SEQ_CST)) {
		sub_relaxed(&iterating.inside, 1);
		pause_briefly();
	}
}

static void leave_loader(void)
{
	sub_relaxed(&iterating.inside, 1);
}

/*
 * For a while only: who is inside may wait for the loader, and that for us.
 * seq_cst: see enter_loader().
 */
static void keep_out(void)
{
	__atomic_store_n(&iterating.forking, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < FORK_TRIES; i++) {
		if (!__atomic_load_n(&iterating.inside, __ATOMIC_SEQ_CST))
			return;
		pause_briefly();
	}
}

void modules_refresh(void)
{
	bool first = true;

	resolve_exe();
	if (iterating.orphaned)
		return;
	enter_loader();
	dl_iterate_phdr(refresh_one, &first);
	leave_loader();
}

struct held {
	void (*fn)(void *arg);
	void *arg;
};

static int call_held(struct dl_phdr_info *info UNUSED, size_t size UNUSED,
	void *arg)
{
	struct held *h = arg;

	h->fn(h->arg);
	return 1;
}

void modules_hold(void (*fn)(void *), void *arg)
{
	struct held h = {.fn = fn, .arg = arg};

	if (iterating.orphaned) {
		fn(arg);
		return;
	}
	enter_loader();
	dl_iterate_phdr(call_held, &h);
	leave_loader();
}

bool modules_note(uintptr_t pc)
{
	struct dl_find_object o;
	const ElfW(Ehdr) * eh;
	struct module m;
	const char *name;
	bool replaced;

	if (!_dl_find_object || _dl_find_object((void *)pc, &o))
		return false;
	/* The first page of a module is its ELF header, by custom. */
	eh = o.dlfo_map_start;
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
		eh->e_phoff + eh->e_phnum * sizeof(ElfW(Phdr)) > OS_PAGE)
		return false;
	if (!trylock(&modules.lock))
		return false;
	describe(&m, o.dlfo_link_map->l_addr,
		(const ElfW(Phdr) *)((const char *)eh + eh->e_phoff),
		eh->e_phnum);
	name = o.dlfo_link_map->l_name;
	replaced = add(&m, name && name[0] ? name : exe_path());
	unlock(&modules.lock);
	return replaced;
}

uint32_t modules_generation(void)
{
	/* acquire [generation] */
	return load_acquire(&modules.generation);
}

const struct module *modules_find(uintptr_t pc, uint32_t generation)
{
	/* acquire [module] */
	size_t n = load_acquire(&modules.count);

	for (size_t i = 0; i < n; i++) {
		const struct chunk *c = chunk_of(i);
		const struct module *m = &c->module[i % CHUNK_MODULES];
		const struct span *s = &c->span[i % CHUNK_MODULES];

		if (pc - s->lo < s->hi - s->lo && m->born <= generation &&
			generation < load_relaxed(&m->died))
			return m;
	}
	return NULL;
}

size_t modules_count(void)
{
	/* acquire [module] */
	return load_acquire(&modules.count);
}

const struct module *modules_at(size_t i)
{
	return module_of(i);
}

void modules_prefork(void)
{
	/* 0: unknown, where /proc is not there. */
	iterating.several = tasks_total() != (tasks_hidden() ? 2 : 1);
	keep_out();
	lock(&modules.lock);
}

void modules_postfork(bool child)
{
	if (child) {
		lock_reinit(&modules.lock);
		iterating.inside = 0;
		iterating.orphaned |= iterating.several;
	} else {
		unlock(&modules.lock);
	}
	store_relaxed(&iterating.forking, 0);
}

void modules_check(void)
{
	size_t n = modules_count();

	for (size_t i = 0; i < n; i++) {
		const struct module *a = module_of(i);

		INVARIANT(a->lo < a->hi && a->path[0]);
		INVARIANT(a->born < a->died);
		for (size_t j = 0; j < i; j++) {
			const struct module *b = module_of(j);

			INVARIANT(!overlap(span_of(a), span_of(b)) ||
				  a->died <= b->born || b->died <= a->born);
		}
	}
}
