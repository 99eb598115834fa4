/* SPDX-License-Identifier: MIT */
/*
 * pprof_text: the legacy heap profile that Go serves with debug=1.
 *
 *	heap profile: 2: 96 [5: 240] @ heap/1048576
 *	2: 96 [5: 240] @ 0x401136 0x401187
 *
 *	# runtime.MemStats
 *	# Alloc = 96
 *	...
 *	MAPPED_LIBRARIES:
 *	00400000-00402000 r-xp 00000000 00:00 0 /bin/app
 *
 * Readers scale the numbers themselves, so they are the sampled ones, and take
 * one off each address, so these are return addresses. The rate is doubled by
 * tradition: the word "heap/" makes readers halve it.
 *
 * When the two halves of the first line agree, because nothing was freed yet,
 * readers take the file for one of an old allocator that wrote no second half.
 * Then the sum of allocated bytes, which nobody adds up, is shown one larger.
 */
#include "observe/pprof.h"

static void record(struct fmt *out, const struct pprof_bucket *b)
{
	fmt_printf(out, "%ld: %ld [%ld: %ld] @", b->inuse, b->inuse_bytes,
		b->allocs, b->alloc_bytes);
}

void pprof_write_maps(struct fmt *out, const struct pprof_options *o)
{
	for (size_t i = 0; i < o->nmappings; i++) {
		const struct pprof_mapping *m = &o->mappings[i];

		fmt_printf(out, "%08lx-%08lx r-xp %08lx 00:00 0 %s\n", m->start,
			m->limit, m->offset, m->file);
	}
}

static void stack(struct fmt *out, const struct pprof_options *o, uint32_t id)
{
	uintptr_t pc[PPROF_DEPTH_MAX];
	size_t n = o->frames(id, pc, NELEM(pc));

	for (size_t i = 0; i < MIN(n, NELEM(pc)); i++)
		fmt_printf(out, " 0x%lx", pc[i]);
	fmt_char(out, '\n');
}

int pprof_write_text(struct fmt *out, struct pprof_snapshot *s,
	const struct pprof_options *o, void (*trailer)(struct fmt *))
{
	const struct pprof_bucket *b = pprof_buckets(s);
	struct pprof_bucket total = {0};

	pprof_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		total.inuse += b[i].inuse;
		total.inuse_bytes += b[i].inuse_bytes;
		total.allocs += b[i].allocs;
		total.alloc_bytes += b[i].alloc_bytes;
	}
	total.alloc_bytes += total.alloc_bytes == total.inuse_bytes;
	fmt_str(out, "heap profile: ");
	record(out, &total);
	fmt_printf(out, " heap/%lu\n", 2 * o->rate);
	for (size_t i = 0; i < s->n; i++) {
		record(out, &b[i]);
		stack(out, o, b[i].stack);
	}
	if (trailer)
		trailer(out);
	fmt_str(out, "\nMAPPED_LIBRARIES:\n");
	pprof_write_maps(out, o);
	return out->error;
}
