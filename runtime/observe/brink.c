/* SPDX-License-Identifier: MIT */
/*
 * brink: what filled the memory, written while there is some left.
 *
 *	allocation grows the heap ─▶ limits.c ─▶ look ─┐
 *	allocation fails ───────────────────▶ refused ─┴▶ dump.c ─▶ write
 *	                                                             ├ .heap.pb.gz
 *	                                                             └ .memstats.json
 *
 * The kernel kills without a word to the process, so this has to happen before:
 * at 95 % of the limit that is nearest (GOMEMLIMIT, GOSTAT_MAXHEAP, the
 * cgroup's), or when an allocation has been refused. It runs in the allocation
 * that has come there, on its thread; other threads go on.
 *
 * The dump needs memory itself: address space for the profile, a few MiB at
 * 10,000 stacks. Where ulimit -v is what refuses, there is none to be had, so
 * some is set aside at load (reserved only: no memory is behind it) and given
 * up for the time of the dump.
 *
 * Nothing here allocates from the heap, so the allocations that a dump is
 * about can't call for another one. A request that no machine could fulfil is
 * a mistake in an argument, not a lack of memory, and is not reported.
 *
 * Invariants:
 *   I1  at most one dump each minute, whatever asks for it, and whether or not
 *       it can be written.
 *
 * Locks: none. last_ms is taken by compare and swap, its winner dumps.
 *
 * Rejected: memory.events or PSI through a descriptor that is polled (comes
 * when the kernel is already reclaiming, needs a thread); a line on stderr for
 * each dump (the template was the question; GOSTAT_VERBOSE says it).
 */
#include "observe/brink.h"
#include "alloc/scavenge.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/dumpheap.h"
#include "observe/helper.h"
#include "os/sandbox.h"

#include <errno.h>

enum {
	PERIOD_MS = 60 * 1000,
	NEAR_PERCENT = 95,
};

/* Set aside; and the largest profile. */
#define RESERVE (8 * MIB)
#define PROFILE_MAX (64 * MIB)
/* More than the address space has. */
#define NONSENSE ((size_t)1 << 47)

static struct brink {
	uint64_t last_ms; /* when a dump began; 0: never */
	uint64_t number;
	void *reserve;
	bool watching;
	void (*tell)(const struct limits_state *s);
} brink;

static void take_reserve(void)
{
	void *none = NULL, *p = sysmem_reserve(RESERVE);

	if (p && !cas_relaxed(&brink.reserve, &none, p))
		sysmem_unreserve(p, RESERVE);
}

static void give_reserve(void)
{
	void *p = xchg_relaxed(&brink.reserve, NULL);

	if (p)
		sysmem_unreserve(p, RESERVE);
}

/* From dump.c, one at a time. */
static void write_both(void)
{
	struct grow profile = GROW_INIT(PROFILE_MAX);
	struct grow stats = GROW_INIT(MIB);
	uint64_t number = add_relaxed(&brink.number, 1) + 1;
	int error;

	give_reserve();
	/* Both first: files take time, and memory in the kernel. */
	error = dumpheap_format(&profile, false);
	if (dump_memstats(&stats))
		dump_write("dump", options->oom_dump, ".memstats.json", number,
			&stats, 0);
	dump_write("heap profile", options->oom_dump, ".heap.pb.gz", number,
		&profile, error);
	grow_free(&profile);
	grow_free(&stats);
	take_reserve();
}

/* Is it a minute since the last one? That may be noted 1 ms in the future. */
static bool is_time(void)
{
	uint64_t last = load_relaxed(&brink.last_ms);

	return options->oom_dump && !sandboxed &&
	       (!last || scavenge_now_ms() >= last + PERIOD_MS);
}

/* Then this is the next; false: another thread's is. */
static bool begin(void)
{
	uint64_t last = load_relaxed(&brink.last_ms);

	return is_time() &&
	       cas_relaxed(&brink.last_ms, &last, scavenge_now_ms() | 1);
}

static bool is_near(const struct limits_state *s)
{
	return s->used / NEAR_PERCENT >= s->limit / 100;
}

static void look(void)
{
	static const char *const names[] = {
		"GOMEMLIMIT", "GOSTAT_MAXHEAP", "the cgroup's limit"};
	static bool looking;
	void (*tell)(const struct limits_state *) = load_relaxed(&brink.tell);
	struct limits_state s;
	bool any;

	if (sandboxed || !(tell || is_time()))
		return;
	/* acquire [looking]: what the one before has noted in limits.c. */
	if (xchg_acquire(&looking, true))
		return;
	helper_fds_lock();
	any = limits_nearest(&s);
	helper_fds_unlock();
	if (any && tell)
		tell(&s);
	/* release [looking]: for the next one. */
	store_release(&looking, false);
	if (!any || !is_near(&s) || !begin())
		return;
	if (options->verbose)
		warn("%lu of %lu bytes of %s are used: dump", s.used, s.limit,
			names[s.kind]);
	dump_run(DUMP_BRINK, 0);
}

static void watch(void)
{
	if (!xchg_relaxed(&brink.watching, true))
		limits_watch(look, "");
}

void brink_tell(void (*fn)(const struct limits_state *s))
{
	store_relaxed(&brink.tell, fn);
	watch();
}

void brink_refused(size_t size)
{
	if (size >= NONSENSE || !begin())
		return;
	if (options->verbose)
		warn("an allocation of %zu bytes fails: dump", size);
	dump_run(DUMP_BRINK, 0);
}

AT_START void brink_start(void)
{
	if (!options->oom_dump)
		return;
	dump_hook(DUMP_BRINK, write_both);
	take_reserve();
	watch();
}

void brink_fork_child(void)
{
	brink.last_ms = 0;
	brink.number = 0;
}
