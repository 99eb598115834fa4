/* SPDX-License-Identifier: MIT */
/*
 * interpose_info: what glibc's malloc tells about itself, told of our heap.
 *
 *	glibc's word	here
 *	arena		memory of the heap that was not given back, less hblkhd
 *	hblks, hblkhd	objects above 1 MiB, which no magazine holds
 *	uordblks	slot bytes the program holds, less hblkhd
 *	fordblks	arena - uordblks
 *	smblks, fsmblks	objects in magazines ("fastbins"), and their bytes
 *	ordblks		free slots, those in magazines included
 *	keepcost	what malloc_trim() would give back
 *
 * The texts keep glibc's outer form, since people parse them. All figures of
 * one answer come from one heapstats_read(), so arena == uordblks + fordblks.
 *
 * The only stdio of the library is here: malloc_info() is given a FILE, and
 * malloc_stats() promises to write where the program's stderr goes.
 */
#include "preload/interpose.h"
#include "alloc/heap.h"
#include "alloc/scavenge.h"
#include "alloc/stats.h"
#include "base/fmt.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>

/* In no header. */
struct mallinfo __libc_mallinfo(void);
int __libc_mallopt(int param, int value);

API int malloc_trim(size_t pad UNUSED)
{
	if (mcache_self != &mcache_none)
		mcache_flush(mcache_self);
	return scavenge_forced() > 0;
}

/*
 * Nothing here has a knob that glibc's parameters could turn. Like glibc, say
 * no to the one value it refuses and yes to all else: programs complain of 0.
 */
API int mallopt(int param, int value)
{
	return param != M_MXFAST || (size_t)value <= 80 * sizeof(size_t) / 4;
}

API int __libc_mallopt(int param, int value) SAME_AS(mallopt);

/* Slots of a class that the program does not hold. */
static uint64_t free_slots(const struct heapstats *h, unsigned r)
{
	uint64_t live = h->of[r].mallocs - h->of[r].frees;
	uint64_t all = r < NSIZECLASS ? h->of[r].nslots
				      : live + h->of[r].cached;

	return all - MIN(all, live);
}

static struct mallinfo2 info(const struct heapstats *h)
{
	struct mallinfo2 m = {0};
	uint64_t huge = h->of[0].mallocs - h->of[0].frees, small = 0;

	for (unsigned r = 1; r < NREC; r++) {
		m.ordblks += free_slots(h, r);
		m.smblks += h->of[r].cached;
		m.fsmblks += h->of[r].cached * rec_bytes(r);
		small += (h->of[r].mallocs - h->of[r].frees) * rec_bytes(r);
	}
	m.hblks = huge;
	m.hblkhd = h->alloc - MIN(small, h->alloc);
	m.arena = h->heap_sys - h->released - m.hblkhd;
	m.uordblks = MIN(small, m.arena);
	m.fordblks = m.arena - m.uordblks;
	m.keepcost = h->idle - h->released;
	return m;
}

API struct mallinfo2 mallinfo2(void)
{
	struct heapstats h;

	heapstats_read(&h);
	return info(&h);
}

/* The old interface: the same figures, cut to int as in glibc. */
API struct mallinfo __libc_mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();

	return (struct mallinfo){
		.arena = (int)m.arena,
		.ordblks = (int)m.ordblks,
		.smblks = (int)m.smblks,
		.hblks = (int)m.hblks,
		.hblkhd = (int)m.hblkhd,
		.usmblks = (int)m.usmblks,
		.fsmblks = (int)m.fsmblks,
		.uordblks = (int)m.uordblks,
		.fordblks = (int)m.fordblks,
		.keepcost = (int)m.keepcost,
	};
}

API struct mallinfo mallinfo(void) __attribute__((alias("__libc_mallinfo")));

static void stats_pair(struct fmt *f, const char *title, size_t sys, size_t use)
{
	fmt_printf(f,
		"%s:\nsystem bytes     = %10zu\nin use bytes     = %10zu\n",
		title, sys, use);
}

API void malloc_stats(void)
{
	struct mallinfo2 m = mallinfo2();
	int saved = errno;
	char buf[512];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf), -1);
	stats_pair(&f, "Arena 0", m.arena, m.uordblks);
	stats_pair(&f, "Total (incl. mmap)", m.arena + m.hblkhd,
		m.uordblks + m.hblkhd);
	fmt_printf(&f, "max mmap regions = %10zu\nmax mmap bytes   = %10zu\n",
		m.hblks, m.hblkhd);
	fwrite(buf, 1, f.len, stderr);
	errno = saved;
}

static void xml_sizes(struct fmt *f, const struct heapstats *h)
{
	fmt_str(f, "<sizes>\n");
	for (unsigned r = 1; r < NREC; r++) {
		uint64_t n = free_slots(h, r);

		if (n == 0)
			continue;
		fmt_printf(f,
			"  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" "
			"count=\"%zu\"/>\n",
			r == 1 ? (size_t)1 : rec_bytes(r - 1) + 1, rec_bytes(r),
			(size_t)n * rec_bytes(r), (size_t)n);
	}
	fmt_str(f, "</sizes>\n");
}

static void xml_total(struct fmt *f, const char *type, size_t n, size_t bytes)
{
	fmt_printf(f, "<total type=\"%s\" count=\"%zu\" size=\"%zu\"/>\n", type,
		n, bytes);
}

static void xml_system(struct fmt *f, size_t now, size_t mapped)
{
	fmt_printf(f,
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<system type=\"max\" size=\"%zu\"/>\n"
		"<aspace type=\"total\" size=\"%zu\"/>\n"
		"<aspace type=\"mprotect\" size=\"%zu\"/>\n",
		now, mapped, mapped, mapped);
}

static void xml(struct fmt *f, const struct heapstats *h)
{
	struct mallinfo2 m = info(h);
	size_t rest = m.ordblks - MIN(m.smblks, m.ordblks);

	fmt_str(f, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
	xml_sizes(f, h);
	xml_total(f, "fast", m.smblks, m.fsmblks);
	xml_total(f, "rest", rest, m.fordblks - MIN(m.fsmblks, m.fordblks));
	xml_system(f, m.arena, h->heap_sys);
	fmt_str(f, "</heap>\n");
	xml_total(f, "fast", m.smblks, m.fsmblks);
	xml_total(f, "rest", rest, m.fordblks - MIN(m.fsmblks, m.fordblks));
	xml_total(f, "mmap", m.hblks, m.hblkhd);
	xml_system(f, m.arena, h->heap_sys);
	fmt_str(f, "</malloc>\n");
}

/* The buffer is full: hand it on. Stacks may be small. */
static bool to_file(struct fmt *f)
{
	fwrite(f->buf, 1, f->len, f->full_arg);
	f->len = 0;
	return true;
}

API int malloc_info(int options, FILE *fp)
{
	struct heapstats h;
	char buf[512];
	struct fmt f;

	if (options != 0)
		return EINVAL;
	heapstats_read(&h);
	fmt_init(&f, buf, sizeof(buf), -1);
	f.full = to_file;
	f.full_arg = fp;
	xml(&f, &h);
	to_file(&f);
	return 0;
}
