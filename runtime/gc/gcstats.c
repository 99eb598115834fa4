/* SPDX-License-Identifier: MIT */
/*
 * gcstats: two copies and a number.
 *
 *	edition even: copy[0] is whole, the writer is busy with copy[1]
 *	edition odd:  the other way round
 *
 * A reader takes the whole copy and then looks if the number is still the same;
 * if not, a cycle has ended meanwhile and it starts anew. A signal handler that
 * has interrupted the writer finds a whole copy at once, which a sequence lock
 * could not offer.
 */
#include "gc/gcstats.h"
#include "base/atomics.h"

#include <string.h>

static struct {
	uint64_t edition;
	struct gcstats copy[2];
} stats = {.copy = {{.next_gc = UINT64_MAX}, {.next_gc = UINT64_MAX}}};

void gcstats_read(struct gcstats *s)
{
	uint64_t edition;

	do {
		/* acquire [gcstats]: the copy was written before it. */
		edition = load_acquire(&stats.edition);
		memcpy(s, &stats.copy[edition & 1], sizeof(*s));
		/* acquire [gcstats]: the number is read after the copy. */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (load_relaxed(&stats.edition) != edition);
}

AT_START struct gcstats *gcstats_begin(void)
{
	uint64_t now = load_relaxed(&stats.edition);

	memcpy(&stats.copy[~now & 1], &stats.copy[now & 1],
		sizeof(stats.copy[0]));
	return &stats.copy[~now & 1];
}

AT_START void gcstats_end(void)
{
	/* release [gcstats]: after the copy. */
	store_release(&stats.edition, load_relaxed(&stats.edition) + 1);
}

void gcstats_cycle(
	struct gcstats *s, bool forced, uint64_t pause_ns, uint64_t end_ns)
{
	s->pause_ns[s->numgc % GC_PAUSES] = pause_ns;
	s->pause_end[s->numgc % GC_PAUSES] = end_ns;
	s->pause_total_ns += pause_ns;
	s->numgc++;
	s->numforced += forced;
	s->last_gc = end_ns;
}

void gcstats_postfork_child(void)
{
	memset(&stats.copy, 0, sizeof(stats.copy));
	stats.copy[0].next_gc = stats.copy[1].next_gc = UINT64_MAX;
}
