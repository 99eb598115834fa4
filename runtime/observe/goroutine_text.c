/* SPDX-License-Identifier: MIT */
/*
 * goroutine_text: threads in the layout of Go's tracebacks.
 *
 *	goroutine 4711 [select, "worker"]:
 *	epoll_wait(...)
 *		/usr/lib/libgostat.so:0x21e40 +0x50
 *	aeProcessEvents(...)
 *		/usr/bin/redis-server:0x4f2a0 +0x130
 *	...
 *	created by main in goroutine 4710
 *		/usr/bin/redis-server:0x3d011 +0x91
 *
 * Programs that read such text find the number, what the thread waits for and
 * the frames. Where Go has a line of the source, there is the address in the
 * file, which addr2line -e takes; behind it, as in Go, how far into the function
 * that is. Where Go has arguments there are three dots: nobody knows them. The
 * thread's name is quoted, so that it is taken for none of Go's remarks.
 *
 * Names are those of the symbol tables, not demangled: pipe through c++filt. A
 * frame in a module without such a symbol is called by file and address, one
 * outside of all modules (code that was made at run time) by its address.
 *
 * The grouped form is for people, and for pprof, which reads the lines with the
 * addresses and the mappings at the end; everything else is a comment to it.
 */
#include "observe/goroutine.h"
#include "observe/threadstate.h"
#include "os/syscall.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/symbols.h"
#include "profile/threadinfo.h"
#include "profile/unwind.h"

#include <errno.h>
#include <string.h>

struct place {
	const struct module *m; /* or NULL */
	const char *name;	/* of the function, or NULL */
	uintptr_t at;		/* inside the call */
	uintptr_t into;		/* from the beginning of the function */
};

static struct place place_of(uintptr_t pc, uint32_t generation)
{
	struct place p = {.at = pc - 1};

	p.m = modules_find(p.at, generation);
	if (p.m)
		p.name = symbols_find(p.m, p.at, &p.into);
	return p;
}

static void put_name(struct fmt *out, const struct place *p)
{
	const char *slash = p->m ? strrchr(p->m->path, '/') : NULL;

	if (p->name)
		fmt_str(out, p->name);
	else if (p->m)
		fmt_printf(out, "%s+0x%lx", slash ? slash + 1 : p->m->path,
			(unsigned long)(p->at - p->m->bias));
	else
		fmt_printf(out, "0x%lx", (unsigned long)p->at);
}

static void put_file(struct fmt *out, const struct place *p)
{
	fmt_printf(out, "%s:0x%lx", p->m ? p->m->path : "[no file]",
		(unsigned long)(p->m ? p->at - p->m->bias : p->at));
}

static void put_where(struct fmt *out, const struct place *p)
{
	fmt_str(out, "\n\t");
	put_file(out, p);
	if (p->name)
		fmt_printf(out, " +0x%lx", (unsigned long)p->into);
	fmt_char(out, '\n');
}

static void put_origin(struct fmt *out, uint32_t stack, int creator)
{
	uintptr_t pc;
	struct place p;

	if (!stack || !stacktab_frames(stack, &pc, 1))
		return;
	p = place_of(pc, stacktab_generation(stack));
	fmt_str(out, "created by ");
	put_name(out, &p);
	if (creator)
		fmt_printf(out, " in goroutine %d", creator);
	put_where(out, &p);
}

static void put_thread(struct fmt *out, const struct goroutine *e,
	const uintptr_t *pc, uint32_t generation)
{
	fmt_printf(out, "goroutine %d [%s", e->tid, e->state);
	if (*e->name)
		fmt_printf(out, ", \"%s\"", e->name);
	fmt_str(out, "]:\n");
	for (uint32_t i = 0; i < e->depth; i++) {
		struct place p = place_of(pc[i], generation);

		put_name(out, &p);
		fmt_str(out, "(...)");
		put_where(out, &p);
	}
	if (!e->depth)
		fmt_str(out, "\tgoroutine running on other thread; "
			     "stack unavailable\n");
	else if (!e->whole)
		fmt_str(out, "...additional frames elided...\n");
	put_origin(out, e->created, e->creator);
}

void goroutines_text(struct fmt *out, const struct goroutines *g)
{
	const uintptr_t *pc = (const uintptr_t *)g->frames.p;

	for (size_t i = 0; i < g->n; i++) {
		const struct goroutine *e = goroutines_at(g, i);

		fmt_str(out, i ? "\n" : "");
		put_thread(out, e, pc + e->first, g->generation);
	}
}

void goroutines_self(struct fmt *out)
{
	uintptr_t thread = (uintptr_t)__builtin_thread_pointer();
	struct goroutine e = {.tid = (int)sys0(SYS_gettid),
		.state = "running"};
	uintptr_t pc[PPROF_DEPTH_MAX];
	struct threadstate s;

	threadstate_read(&s, e.tid);
	memcpy(e.name, s.name, sizeof(e.name));
	e.depth = (uint32_t)unwind_here(pc, NELEM(pc));
	e.whole = e.depth < NELEM(pc);
	if (!threadinfo_origin(thread, &e.created, &e.creator))
		e.created = 0;
	put_thread(out, &e, pc, modules_generation());
}

/* The lines of one stack in the grouped form. */
static void put_group(struct fmt *out, uint64_t count, const uintptr_t *pc,
	size_t n, uint32_t generation)
{
	fmt_printf(out, "%lu @", (unsigned long)count);
	for (size_t i = 0; i < n; i++)
		fmt_printf(out, " 0x%lx", (unsigned long)pc[i]);
	/* Readers want one address at least. */
	fmt_str(out, n ? "\n" : " 0x0\n");
	for (size_t i = 0; i < n; i++) {
		struct place p = place_of(pc[i], generation);

		fmt_printf(out, "#\t0x%lx\t", (unsigned long)p.at);
		put_name(out, &p);
		if (p.name)
			fmt_printf(out, "+0x%lx", (unsigned long)p.into);
		fmt_char(out, '\t');
		put_file(out, &p);
		fmt_char(out, '\n');
	}
}

static void put_maps(struct fmt *out, const struct pprof_options *maps)
{
	fmt_str(out, "\n--- Memory map: ---\n");
	pprof_write_maps(out, maps);
}

/* Stacks that are equal: what the first of them is, and the next one. */
struct group {
	uint32_t first, next; /* indexes; next 0: the last */
	uint32_t last, count; /* of the group, at its first */
};

static bool equal(const struct goroutines *g, size_t i, size_t k)
{
	const uintptr_t *pc = (const uintptr_t *)g->frames.p;
	const struct goroutine *a = goroutines_at(g, i);
	const struct goroutine *b = goroutines_at(g, k);

	return a->depth == b->depth &&
		!memcmp(pc + a->first, pc + b->first,
			a->depth * sizeof(*pc));
}

static void make_groups(const struct goroutines *g, struct group *v)
{
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t k = 0;

		while (k < i && (v[k].first != k || !equal(g, i, k)))
			k++;
		v[i] = (struct group){.first = k, .last = i};
		if (k < i)
			v[v[k].last].next = i;
		v[k].last = i;
		v[k].count++;
	}
}

static void put_members(struct fmt *out, const struct goroutines *g,
	const struct group *v, uint32_t i)
{
	fmt_str(out, "# threads:");
	do {
		const struct goroutine *e = goroutines_at(g, i);

		fmt_printf(out, " %d [%s, \"%s\"]", e->tid, e->state, e->name);
		i = v[i].next;
	} while (i);
	fmt_char(out, '\n');
}

int goroutines_grouped(struct fmt *out, const struct goroutines *g,
	const struct pprof_options *maps)
{
	struct grow mem = GROW_INIT(GIB);
	struct group *v = grow_add(&mem, (g->n + 1) * sizeof(*v));
	const uintptr_t *pc = (const uintptr_t *)g->frames.p;
	uint32_t most = 0;

	if (!v)
		return ENOMEM;
	make_groups(g, v);
	fmt_printf(out, "goroutine profile: total %zu\n", g->n);
	for (uint32_t i = 0; i < g->n; i++)
		most = v[i].first == i ? MAX(most, v[i].count) : most;
	for (uint32_t n = most; n; n--)
		for (uint32_t i = 0; i < g->n; i++) {
			const struct goroutine *e = goroutines_at(g, i);

			if (v[i].first != i || v[i].count != n)
				continue;
			put_group(out, n, pc + e->first, e->depth,
				g->generation);
			put_members(out, g, v, i);
			fmt_char(out, '\n');
		}
	fmt_printf(out, "# stopped for %ld ns\n", (long)g->pause_ns);
	put_maps(out, maps);
	grow_free(&mem);
	return out->error;
}

void threadcreate_text(struct fmt *out, const struct pprof_options *maps)
{
	struct threadinfo_site site;
	uintptr_t pc[STACK_MAX];
	uint64_t total = 0;
	size_t n;

	for (size_t at = 0; threadinfo_next(&at, &site);)
		total += site.count;
	fmt_printf(out, "threadcreate profile: total %lu\n",
		(unsigned long)total);
	for (size_t at = 0; threadinfo_next(&at, &site);) {
		n = stacktab_frames(site.stack, pc, NELEM(pc));
		put_group(out, site.count, pc, MIN(n, NELEM(pc)),
			stacktab_generation(site.stack));
		fmt_char(out, '\n');
	}
	put_maps(out, maps);
}
