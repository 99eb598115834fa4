/* SPDX-License-Identifier: MIT */
/*
 * roots_maps: every mapping of the process, put in its place.
 *
 *	file, private, written to    global: data of a module
 *	anonymous, right behind it   global: its bss, as far as the module goes
 *	[heap]                       global: what brk() gave; libc's own malloc
 *	loader's                     global: tables of ld.so
 *	[stack], thread's block      stack, from the stack pointer upwards
 *	anonymous, private           an object, see roots.h
 *	shared                       roots_shared.c
 *	ours, the heap               nothing
 *
 * Where a mapping has a file behind it, only pages that have been written to
 * (copied) can hold a pointer; and of all mappings, only what has memory. The
 * kernel is asked for both (os/pages.h), so that a gigabyte of mapped file or
 * reserved space costs nothing.
 *
 * The kernel makes one mapping of neighbours that are alike: two buffers of the
 * program, a stack and a buffer above it, the loader's first pages and the
 * program's first buffer. Stacks are cut out by what libc says about them, the
 * loader's pages by what there was at the start. Buffers stay together, and are
 * live together. On the other hand one buffer with a protected page in it shows
 * as three mappings: neighbours make one object, unless a big hole, a stack or
 * something of ours lies between.
 *
 * Read-only data that lies before writable data of the same file is RELRO: the
 * loader wrote there before it was protected.
 */
#include "gc/roots_parts.h"
#include "alloc/arena.h"
#include "os/sysmem.h"
#include "profile/modules.h"

#include <string.h>
#include <sys/mman.h>

enum { LOADER = 32 };
#define BIG_HOLE ((uintptr_t)64 << 20) /* PROT_NONE that parts neighbours */

static struct gc_range self;

/* The loader's anonymous mappings when the library was started. */
static struct loader {
	size_t n;
	struct gc_range range[LOADER];
} loader;

AT_START void roots_set_self(uintptr_t lo, uintptr_t hi)
{
	self = (struct gc_range){lo, hi};
}

/*
 * Mapped by the heap? Its window is a terabyte, most of which is free for
 * everybody who likes random addresses.
 */
static bool is_heap(uintptr_t p)
{
	size_t page = arena_page(p), k = page % ARENA_PAGES;
	const struct arena *a;

	if (p - window_base >= window.next - window_base)
		return false;
	a = arenas[page / ARENA_PAGES];
	return a && (a->spans[k] || !(a->inuse[k / 64] >> k % 64 & 1));
}

bool roots_ours(uintptr_t p)
{
	return sysmem_owns(p) || p - self.lo < self.hi - self.lo || is_heap(p);
}

static bool is_anonymous(const struct procmap *v)
{
	return !v->shared && (!v->path[0] || !strncmp(v->path, "[anon:", 6) ||
				     !strncmp(v->path, "/dev/zero", 9) ||
				     !strncmp(v->path, "/anon_hugepage", 14));
}

static bool is_self(const struct procmap *v)
{
	return v->lo - self.lo < self.hi - self.lo;
}

/*
 * The kernel joins what is mapped right behind our .bss with it, be it the
 * loader's or the program's. Leave that of v: false if there is nothing.
 */
static bool behind_self(struct procmap *v)
{
	v->lo = ALIGN_UP(self.hi, (uintptr_t)OS_PAGE);
	return v->lo < v->hi;
}

void roots_note_loader(void)
{
	char buf[4096];
	struct procmaps m;
	struct procmap v, last = {0};

	procmaps_open(&m, buf, sizeof(buf));
	for (; loader.n < LOADER && procmaps_next(&m, &v); last = v) {
		bool bss = last.inode && last.hi == v.lo;

		if (is_self(&v))
			bss = !behind_self(&v);
		if (is_anonymous(&v) && v.prot & PROT_WRITE && !bss &&
			!roots_ours(v.lo))
			loader.range[loader.n++] =
				(struct gc_range){v.lo, v.hi};
	}
	procmaps_close(&m);
}

/* -------- ranges -------- */

/* The next run of pages with memory, cut to [lo, hi). */
static bool next_run(
	struct pages *p, uintptr_t lo, uintptr_t hi, struct gc_range *r)
{
	if (!pages_next(p, &r->lo, &r->hi))
		return false;
	r->lo = MAX(r->lo, lo);
	r->hi = MIN(r->hi, hi);
	return true;
}

static void begin_runs(
	struct pages *p, uintptr_t lo, uintptr_t hi, enum pages_which which)
{
	pages_begin(p, ALIGN_DOWN(lo, (uintptr_t)OS_PAGE),
		ALIGN_UP(hi, (uintptr_t)OS_PAGE), which);
}

void roots_resident(struct roots_walk *k, uintptr_t lo, uintptr_t hi,
	enum pages_which which, enum root_kind kind, int tid, uint32_t name)
{
	struct gc_range r;

	if (lo >= hi)
		return;
	begin_runs(&k->pages, lo, hi, which);
	while (next_run(&k->pages, lo, hi, &r))
		rootset_add_range(k->rs, r.lo, r.hi, kind, tid, name);
}

/* -------- objects -------- */

/* The run of neighbours that is being put together. */
struct run {
	uintptr_t lo, hi; /* lo == 0: none */
	uintptr_t end;	  /* hi, or the end of the small hole behind it */
	uint32_t first;	  /* piece */
	uint32_t name;
};

static void run_close(struct roots_walk *k, struct run *run)
{
	struct rootset *rs = k->rs;
	uint32_t n = (uint32_t)rs->pieces.n - run->first;
	struct root_mapping *m;

	/* Without memory there is nothing in it that could be reached. */
	if (run->lo && n) {
		m = rootset_grow(rs, &rs->mappings, sizeof(*m));
		if (m)
			*m = (struct root_mapping){
				run->lo, run->hi, run->first, n, run->name};
	}
	run->lo = 0;
}

static void run_add(
	struct roots_walk *k, struct run *run, uintptr_t lo, uintptr_t hi)
{
	struct rootset *rs = k->rs;
	struct gc_range r, *piece;

	if (lo >= hi)
		return;
	if (run->lo && run->end != lo)
		run_close(k, run);
	if (!run->lo) {
		run->lo = lo;
		run->first = (uint32_t)rs->pieces.n;
		run->name = 0;
	}
	run->hi = run->end = hi;
	begin_runs(&k->pages, lo, hi, PAGES_ANY);
	while (next_run(&k->pages, lo, hi, &r)) {
		piece = rootset_grow(rs, &rs->pieces, sizeof(*piece));
		if (piece)
			*piece = r;
	}
}

/* -------- one mapping -------- */

struct walk {
	struct roots_walk *k;
	struct run run;
	const struct root_stack *stack, *stacks_end; /* not passed yet */
	const struct root_stack *loose, *loose_end;
	/* Of the mapping before. */
	struct gc_range before;
	uint64_t inode;
	uint32_t major, minor;
	uint8_t prot;
	uint32_t name;	/* of the module whose data came last, */
	uint64_t named; /* the inode of which is this */
	bool data;	/* it was data of a module */
};

static uint32_t name_of(struct rootset *rs, const struct procmap *v)
{
	const char *s = strrchr(v->path, '/');

	s = s ? s + 1 : v->path;
	return rootset_add_name(rs, s, strlen(s));
}

/* Readable private memory that is nobody's stack. */
static void add_plain(
	struct walk *w, uintptr_t lo, uintptr_t hi, bool anonymous)
{
	if (anonymous)
		run_add(w->k, &w->run, lo, hi);
	else
		roots_resident(
			w->k, lo, hi, PAGES_ANY, ROOT_GLOBALS, 0, w->name);
}

/* [lo, hi) is mapped. Take the stacks out and pass on the rest. */
static void add_between_stacks(struct walk *w, uintptr_t lo, uintptr_t hi,
	bool readable, bool anonymous)
{
	const struct root_stack *s;

	for (s = w->stack; s < w->stacks_end && s->lo < hi; s++) {
		if (s->hi <= lo)
			continue;
		if (readable) {
			if (s->lo > lo)
				add_plain(w, lo, s->lo, anonymous);
			roots_resident(w->k, MAX(s->from, lo), MIN(s->hi, hi),
				PAGES_ANY, ROOT_STACK, s->tid, s->name);
		}
		run_close(w->k, &w->run);
		lo = MIN(s->hi, hi);
	}
	if (readable && lo < hi)
		add_plain(w, lo, hi, anonymous);
	else if (lo < hi && w->run.lo && w->run.end == lo && hi - lo < BIG_HOLE)
		w->run.end = hi;
}

/* Anonymous memory; parts of it may be the loader's. */
static void add_anonymous(
	struct walk *w, uintptr_t lo, uintptr_t hi, bool readable)
{
	for (size_t i = 0; i < loader.n && readable; i++) {
		const struct gc_range *l = &loader.range[i];

		if (l->hi <= lo || l->lo >= hi)
			continue;
		if (l->lo > lo)
			add_between_stacks(w, lo, l->lo, true, true);
		run_close(w->k, &w->run);
		w->name = rootset_add_name(w->k->rs, "loader", 6);
		w->named = 0;
		lo = MAX(l->lo, lo);
		add_between_stacks(w, lo, MIN(l->hi, hi), true, false);
		lo = MIN(l->hi, hi);
	}
	if (lo < hi)
		add_between_stacks(w, lo, hi, readable, true);
}

/* Where the bss that begins at lo ends: with its module. */
static uintptr_t bss_end(uintptr_t lo, uintptr_t hi)
{
	const struct module *m = modules_find(lo - 1, modules_generation());

	return m ? MAX(lo, MIN(hi, ALIGN_UP(m->hi, (uintptr_t)OS_PAGE))) : hi;
}

static void add_data(struct walk *w, const struct procmap *v)
{
	bool same = w->inode == v->inode && w->major == v->major &&
		    w->minor == v->minor && w->before.hi == v->lo;

	if (w->named != v->inode)
		w->name = name_of(w->k->rs, v);
	w->named = v->inode;
	if (same && !(w->prot & (PROT_WRITE | PROT_EXEC)) &&
		w->prot & PROT_READ)
		roots_resident(w->k, w->before.lo, w->before.hi, PAGES_OWN,
			ROOT_GLOBALS, 0, w->name);
	roots_resident(w->k, v->lo, v->hi, PAGES_OWN, ROOT_GLOBALS, 0, w->name);
}

static void add_main_stack(struct walk *w, const struct procmap *v)
{
	struct roots_walk *k = w->k;
	uintptr_t from = v->hi;
	bool in = false;

	if (!k->main_alive)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (k->main_sp[i] >= v->lo && k->main_sp[i] < v->hi) {
			from = MIN(from, k->main_sp[i]);
			in = true;
		}
	roots_resident(k, in ? from : v->lo, v->hi, PAGES_ANY, ROOT_STACK,
		k->rs->pid, k->main_name);
}

/* Stack pointers that are here and not on the thread's own stack. */
static void add_loose(struct walk *w, const struct procmap *v)
{
	bool is_main = !strcmp(v->path, "[stack]");

	while (w->loose < w->loose_end && w->loose->lo < v->lo)
		w->loose++;
	for (; w->loose < w->loose_end && w->loose->lo < v->hi; w->loose++)
		if (v->prot & PROT_READ &&
			!(is_main && w->loose->tid == w->k->rs->pid))
			roots_resident(w->k, w->loose->lo, v->hi, PAGES_ANY,
				ROOT_STACK, w->loose->tid, w->loose->name);
}

static void add_code(struct walk *w, const struct procmap *v)
{
	struct rootset *rs = w->k->rs;
	struct gc_range *c = rootset_grow(rs, &rs->code, sizeof(*c));

	if (c)
		*c = (struct gc_range){v->lo, v->hi};
}

static void add_private(struct walk *w, const struct procmap *v)
{
	uintptr_t lo = v->lo;
	bool readable = v->prot & PROT_READ;
	bool data = false;

	if (is_anonymous(v)) {
		if (w->data && w->before.hi == lo && v->prot & PROT_WRITE) {
			lo = bss_end(lo, v->hi);
			run_close(w->k, &w->run);
			roots_resident(w->k, v->lo, lo, PAGES_ANY, ROOT_GLOBALS,
				0, w->name);
		}
		if (lo < v->hi)
			add_anonymous(w, lo, v->hi, readable);
		if (readable && v->prot & PROT_EXEC)
			add_code(w, v);
	} else if (!strcmp(v->path, "[stack]")) {
		add_main_stack(w, v);
	} else if (!strcmp(v->path, "[heap]")) {
		roots_resident(w->k, lo, v->hi, PAGES_ANY, ROOT_GLOBALS, 0,
			rootset_add_name(w->k->rs, "brk", 3));
	} else if (v->inode && readable && v->prot & PROT_WRITE) {
		add_data(w, v);
		data = true;
	}
	w->data = data;
}

static void add(struct walk *w, struct procmap *v)
{
	while (w->stack < w->stacks_end && w->stack->hi <= v->lo)
		w->stack++;
	if (roots_ours(v->lo)) {
		run_close(w->k, &w->run);
		w->data = false;
		if (!is_self(v) || !behind_self(v))
			return;
	}
	add_loose(w, v);
	if (v->shared)
		w->data = false;
	else
		add_private(w, v);
	w->before = (struct gc_range){v->lo, v->hi};
	w->inode = v->inode;
	w->major = v->major;
	w->minor = v->minor;
	w->prot = v->prot;
}

bool roots_maps(struct roots_walk *k)
{
	struct walk w = {.k = k,
		.stack = k->stacks.v,
		.stacks_end = (struct root_stack *)k->stacks.v + k->stacks.n,
		.loose = k->loose.v,
		.loose_end = (struct root_stack *)k->loose.v + k->loose.n};
	char buf[4096];
	struct procmaps m;
	struct procmap v;

	if (!procmaps_open(&m, buf, sizeof(buf)))
		return false;
	pages_open(&k->pages);
	while (procmaps_next(&m, &v))
		add(&w, &v);
	run_close(k, &w.run);
	pages_close(&k->pages);
	procmaps_close(&m);
	return true;
}
