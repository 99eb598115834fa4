/* SPDX-License-Identifier: MIT */
/*
 * mallctl: jemalloc's tree of names, answered of our heap.
 *
 *	"stats.allocated"       rows[]    name, type, how to read it
 *	"arenas.bin.3.size"     "arenas.bin.#.size", index[2] = 3
 *	"arena.0.purge"         an action
 *
 * Programs ask to show what their memory does (redis's INFO), to be tidy
 * (purge, decay, tcache.flush), or to tune. The first two get true answers and
 * true effects. A knob that has no counterpart reads as what is the case and
 * can't be written: EPERM, as jemalloc says of what is read-only. What would
 * tell of something that isn't there (profiling, arenas of one's own) has no
 * name: ENOENT, as from a jemalloc built without it.
 *
 * There is one arena. Figures are those of the moment, so the epoch, which
 * jemalloc's need to move, only counts.
 *
 *	allocated <= active <= mapped, resident;  retained: address space only
 *
 * A MIB is {row, -, index, ...}: numbers stand where they stand in the name, so
 * that the caller can put others there.
 */
#include "preload/mallctl.h"
#include "alloc/heap.h"
#include "alloc/stats.h"
#include "base/fmt.h"
#include "os/sysmem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_MAX = 8, ALL_ARENAS = 4096 };

/* What a name is about: numbers in it, and one snapshot of the heap. */
struct question {
	const size_t *index; /* by position in the name */
	struct heapstats h;
};

enum type { BOOL, UNSIGNED, UINT32, UINT64, SIZE, SSIZE, STRING, ACTION };

struct row {
	const char *name; /* # stands for a number */
	enum type type;
	bool writable; /* accepted; read by the action, or without effect */
	uint64_t (*get)(const struct question *q);
	uint64_t value; /* where get is NULL; a pointer for STRING */
};

static uint64_t epoch = 1;

static uint64_t get_epoch(const struct question *q UNUSED)
{
	return load_relaxed(&epoch);
}

static uint64_t get_allocated(const struct question *q)
{
	return q->h.alloc;
}

static uint64_t get_active(const struct question *q)
{
	return q->h.inuse;
}

static uint64_t get_metadata(const struct question *q UNUSED)
{
	uint64_t n = 0;

	for (int k = 0; k < NSYSKIND; k++)
		if (k != SYS_HEAP)
			n += sysmem_sys((enum syskind)k);
	return n;
}

static uint64_t get_mapped(const struct question *q)
{
	return q->h.heap_sys - q->h.released;
}

static uint64_t get_resident(const struct question *q)
{
	return get_mapped(q) + get_metadata(q);
}

static uint64_t get_retained(const struct question *q)
{
	return q->h.released;
}

static uint64_t get_pages_active(const struct question *q)
{
	return q->h.inuse >> PAGE_SHIFT;
}

static uint64_t get_pages_dirty(const struct question *q)
{
	return (q->h.idle - q->h.released) >> PAGE_SHIFT;
}

static uint64_t get_threads(const struct question *q)
{
	return q->h.nthreads;
}

/* Sums over the small classes, or over all else. */
static uint64_t sum(const struct question *q, bool small, bool frees)
{
	uint64_t n = small ? 0 : frees ? q->h.of[0].frees : q->h.of[0].mallocs;
	unsigned from = small ? 1 : NSIZECLASS;
	unsigned to = small ? NSIZECLASS : NREC;

	for (unsigned r = from; r < to; r++)
		n += frees ? q->h.of[r].frees : q->h.of[r].mallocs;
	return n;
}

static uint64_t small_bytes(const struct question *q)
{
	uint64_t n = 0;

	for (unsigned r = 1; r < NSIZECLASS; r++)
		n += (q->h.of[r].mallocs - q->h.of[r].frees) * rec_bytes(r);
	return MIN(n, q->h.alloc);
}

static uint64_t get_small_allocated(const struct question *q)
{
	return small_bytes(q);
}

static uint64_t get_large_allocated(const struct question *q)
{
	return q->h.alloc - small_bytes(q);
}

static uint64_t get_small_nmalloc(const struct question *q)
{
	return sum(q, true, false);
}

static uint64_t get_small_ndalloc(const struct question *q)
{
	return sum(q, true, true);
}

static uint64_t get_large_nmalloc(const struct question *q)
{
	return sum(q, false, false);
}

static uint64_t get_large_ndalloc(const struct question *q)
{
	return sum(q, false, true);
}

/* Bins are the size classes in use, from 0; class 3 (24 bytes) is not. */
enum { NBINS = NSIZECLASS - 2 };

static unsigned class_of_bin(size_t bin)
{
	return (unsigned)bin + (bin < 2 ? 1 : 2);
}

static uint64_t get_bin_size(const struct question *q)
{
	return sizeclasses[class_of_bin(q->index[2])].size;
}

static uint64_t get_bin_nregs(const struct question *q)
{
	return sizeclasses[class_of_bin(q->index[2])].nelems;
}

static uint64_t get_bin_slab(const struct question *q)
{
	return (uint64_t)sizeclasses[class_of_bin(q->index[2])].npages
		<< PAGE_SHIFT;
}

static uint64_t get_lextent_size(const struct question *q)
{
	return (uint64_t)(q->index[2] + 1) << PAGE_SHIFT;
}

static const struct heapstats_class *bin(const struct question *q)
{
	return &q->h.of[class_of_bin(q->index[4])];
}

static uint64_t get_bin_nmalloc(const struct question *q)
{
	return bin(q)->mallocs;
}

static uint64_t get_bin_ndalloc(const struct question *q)
{
	return bin(q)->frees;
}

static uint64_t get_bin_curregs(const struct question *q)
{
	return bin(q)->mallocs - bin(q)->frees;
}

static uint64_t get_bin_curslabs(const struct question *q)
{
	return bin(q)->nspans;
}

static uint64_t do_purge(const struct question *q UNUSED)
{
	mheap_free_os_memory();
	return 0;
}

static uint64_t do_flush(const struct question *q UNUSED)
{
	if (mcache_self != &mcache_none)
		mcache_flush(mcache_self);
	return 0;
}

#define TEXT(s) (uintptr_t)(s)
#define FIXED(name, type, value) {name, type, false, NULL, value}
#define READ(name, type, get) {name, type, false, get, 0}
#define DO(name, fn) {name, ACTION, false, fn, 0}

/* clang-format off */
static const struct row rows[] = {
	FIXED("version", STRING, TEXT("gostat " GOSTAT_VERSION)),
	{"epoch", UINT64, true, get_epoch, 0},
	FIXED("background_thread", BOOL, false),
	FIXED("max_background_threads", SIZE, 0),

	{"thread.arena", UNSIGNED, true, NULL, 0},
	{"thread.tcache.enabled", BOOL, true, NULL, true},
	DO("thread.tcache.flush", do_flush),
	DO("thread.idle", do_flush),

	FIXED("arena.#.initialized", BOOL, true),
	DO("arena.#.purge", do_purge),
	DO("arena.#.decay", do_purge),
	FIXED("arena.#.dss", STRING, TEXT("disabled")),
	FIXED("arena.#.dirty_decay_ms", SSIZE, 1000),
	FIXED("arena.#.muzzy_decay_ms", SSIZE, 0),

	FIXED("arenas.narenas", UNSIGNED, 1),
	FIXED("arenas.dirty_decay_ms", SSIZE, 1000),
	FIXED("arenas.muzzy_decay_ms", SSIZE, 0),
	FIXED("arenas.quantum", SIZE, 16),
	FIXED("arenas.page", SIZE, PAGE_SIZE),
	FIXED("arenas.tcache_max", SIZE, (size_t)MAX_RUN * PAGE_SIZE),
	FIXED("arenas.nbins", UNSIGNED, NBINS),
	FIXED("arenas.nhbins", UNSIGNED, NBINS + MAX_RUN),
	READ("arenas.bin.#.size", SIZE, get_bin_size),
	READ("arenas.bin.#.nregs", UINT32, get_bin_nregs),
	READ("arenas.bin.#.slab_size", SIZE, get_bin_slab),
	FIXED("arenas.bin.#.nshards", UINT32, 1),
	FIXED("arenas.nlextents", UNSIGNED, MAX_RUN),
	READ("arenas.lextent.#.size", SIZE, get_lextent_size),

	FIXED("config.cache_oblivious", BOOL, false),
	FIXED("config.debug", BOOL, false),
	FIXED("config.fill", BOOL, false),
	FIXED("config.lazy_lock", BOOL, false),
	FIXED("config.malloc_conf", STRING, TEXT("")),
	FIXED("config.prof", BOOL, false),
	FIXED("config.prof_libgcc", BOOL, false),
	FIXED("config.prof_libunwind", BOOL, false),
	FIXED("config.stats", BOOL, true),
	FIXED("config.utrace", BOOL, false),
	FIXED("config.xmalloc", BOOL, false),

	FIXED("opt.abort", BOOL, false),
	FIXED("opt.background_thread", BOOL, false),
	FIXED("opt.dirty_decay_ms", SSIZE, 1000),
	FIXED("opt.muzzy_decay_ms", SSIZE, 0),
	FIXED("opt.dss", STRING, TEXT("disabled")),
	FIXED("opt.junk", STRING, TEXT("false")),
	FIXED("opt.narenas", UNSIGNED, 1),
	FIXED("opt.percpu_arena", STRING, TEXT("disabled")),
	FIXED("opt.prof", BOOL, false),
	FIXED("opt.retain", BOOL, true),
	FIXED("opt.stats_print", BOOL, false),
	FIXED("opt.tcache", BOOL, true),
	FIXED("opt.thp", STRING, TEXT("default")),
	FIXED("opt.zero", BOOL, false),

	READ("stats.allocated", SIZE, get_allocated),
	READ("stats.active", SIZE, get_active),
	READ("stats.metadata", SIZE, get_metadata),
	FIXED("stats.metadata_thp", SIZE, 0),
	READ("stats.resident", SIZE, get_resident),
	READ("stats.mapped", SIZE, get_mapped),
	READ("stats.retained", SIZE, get_retained),
	FIXED("stats.background_thread.num_threads", SIZE, 0),

	READ("stats.arenas.#.nthreads", UNSIGNED, get_threads),
	READ("stats.arenas.#.pactive", SIZE, get_pages_active),
	READ("stats.arenas.#.pdirty", SIZE, get_pages_dirty),
	FIXED("stats.arenas.#.pmuzzy", SIZE, 0),
	READ("stats.arenas.#.mapped", SIZE, get_mapped),
	READ("stats.arenas.#.retained", SIZE, get_retained),
	READ("stats.arenas.#.resident", SIZE, get_resident),
	READ("stats.arenas.#.base", SIZE, get_metadata),
	READ("stats.arenas.#.small.allocated", SIZE, get_small_allocated),
	READ("stats.arenas.#.small.nmalloc", UINT64, get_small_nmalloc),
	READ("stats.arenas.#.small.nrequests", UINT64, get_small_nmalloc),
	READ("stats.arenas.#.small.ndalloc", UINT64, get_small_ndalloc),
	READ("stats.arenas.#.large.allocated", SIZE, get_large_allocated),
	READ("stats.arenas.#.large.nmalloc", UINT64, get_large_nmalloc),
	READ("stats.arenas.#.large.nrequests", UINT64, get_large_nmalloc),
	READ("stats.arenas.#.large.ndalloc", UINT64, get_large_ndalloc),
	READ("stats.arenas.#.bins.#.nmalloc", UINT64, get_bin_nmalloc),
	READ("stats.arenas.#.bins.#.nrequests", UINT64, get_bin_nmalloc),
	READ("stats.arenas.#.bins.#.ndalloc", UINT64, get_bin_ndalloc),
	READ("stats.arenas.#.bins.#.curregs", SIZE, get_bin_curregs),
	READ("stats.arenas.#.bins.#.curslabs", SIZE, get_bin_curslabs),
};
/* clang-format on */

/*
 * Does name match the row's? Numbers go to index[their position]; returns the
 * number of parts, 0 if it does not match.
 */
static size_t match(const char *pattern, const char *name, size_t *index)
{
	size_t depth = 1;

	for (; *pattern; pattern++) {
		if (*pattern == '#') {
			size_t n = 0;

			if (*name < '0' || *name > '9')
				return 0;
			while (*name >= '0' && *name <= '9' && n < MIB)
				n = n * 10 + (size_t)(*name++ - '0');
			index[depth - 1] = n;
			continue;
		}
		if (*pattern != *name++)
			return 0;
		depth += *pattern == '.';
	}
	return *name ? 0 : depth;
}

static size_t depth_of(const struct row *row)
{
	size_t depth = 1;

	for (const char *s = row->name; *s; s++)
		depth += *s == '.';
	return depth;
}

/* The row of a name, its numbers and the number of its parts; NULL: none. */
static const struct row *find(const char *name, size_t *index, size_t *depth)
{
	for (unsigned i = 0; i < NELEM(rows); i++) {
		*depth = match(rows[i].name, name, index);
		if (*depth)
			return &rows[i];
	}
	return NULL;
}

/* Arena 0, or all of them; their number was the old way to say that. */
static bool arena(size_t i)
{
	return i <= 1 || i == ALL_ARENAS;
}

/* Are the numbers in the name those of something that exists? */
static bool exists(const struct row *row, const size_t *index)
{
	const char *n = row->name;

	if (!strncmp(n, "arena.#.", 8))
		return arena(index[1]);
	if (!strncmp(n, "stats.arenas.#.", 15) && !arena(index[2]))
		return false;
	if (!strncmp(n, "stats.arenas.#.bins", 19))
		return index[4] < NBINS;
	if (!strncmp(n, "arenas.bin.", 11))
		return index[2] < NBINS;
	if (!strncmp(n, "arenas.lextent.", 15))
		return index[2] < MAX_RUN;
	return true;
}

static size_t type_size(enum type type)
{
	static const uint8_t sizes[] = {[BOOL] = sizeof(bool),
		[UNSIGNED] = sizeof(unsigned),
		[UINT32] = sizeof(uint32_t),
		[UINT64] = sizeof(uint64_t),
		[SIZE] = sizeof(size_t),
		[SSIZE] = sizeof(ssize_t),
		[STRING] = sizeof(const char *)};

	return sizes[type];
}

/* The answer as the caller's type wants it; little-endian, like x86. */
static int answer(enum type type, uint64_t v, void *old, size_t *oldlen)
{
	size_t size = type_size(type);
	int ret = 0;

	if (!old || !oldlen)
		return 0;
	if (*oldlen != size) { /* what fits is copied all the same */
		ret = EINVAL;
		size = MIN(size, *oldlen);
	}
	memcpy(old, &v, size);
	*oldlen = size;
	return ret;
}

static int ask(const struct row *row, const size_t *index, void *old,
	size_t *oldlen, void *new, size_t newlen)
{
	struct question q = {.index = index};
	uint64_t v;

	if (!exists(row, index))
		return row->type == ACTION ? EFAULT : ENOENT;
	if (row->type == ACTION) {
		if (old || oldlen || new || newlen)
			return EPERM;
		row->get(&q);
		return 0;
	}
	if (new && !row->writable)
		return EPERM;
	if (new && newlen != type_size(row->type))
		return EINVAL;
	if (new && row->get == get_epoch)
		add_relaxed(&epoch, 1);
	if (row->get)
		heapstats_read(&q.h);
	v = row->get ? row->get(&q) : row->value;
	return answer(row->type, v, old, oldlen);
}

API int mallctl(const char *name, void *old, size_t *oldlen, void *new,
	size_t newlen)
{
	size_t index[DEPTH_MAX] = {0}, depth;
	const struct row *row = find(name, index, &depth);

	return row ? ask(row, index, old, oldlen, new, newlen) : ENOENT;
}

API int mallctlnametomib(const char *name, size_t *mib, size_t *miblen)
{
	size_t index[DEPTH_MAX] = {0}, depth;
	const struct row *row = find(name, index, &depth);

	if (!row)
		return ENOENT;
	index[0] = (size_t)(row - rows);
	memcpy(mib, index, MIN(*miblen, depth) * sizeof(*mib));
	*miblen = MIN(*miblen, depth);
	return 0;
}

API int mallctlbymib(const size_t *mib, size_t miblen, void *old,
	size_t *oldlen, void *new, size_t newlen)
{
	if (miblen == 0 || mib[0] >= NELEM(rows) ||
		depth_of(&rows[mib[0]]) != miblen)
		return ENOENT;
	return ask(&rows[mib[0]], mib, old, oldlen, new, newlen);
}
