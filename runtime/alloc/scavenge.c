/* SPDX-License-Identifier: MIT */
/*
 * scavenge: when free pages go back to the kernel.
 *
 * Giving a page back and touching it again costs about a microsecond, keeping
 * it costs 8 KiB. So a page goes back once it has been idle for a second:
 *
 *	idle pages
 *	  |      ____
 *	  |  ___|    |__      ______
 *	  | |           |____|        <- low water of the window: nobody needed
 *	  |_|________________________    these pages during it; they go back
 *	      one window (1 s)
 *
 * Allocation is by lowest address, so the highest idle pages are the coldest,
 * and pagealloc_scavenge() starts there. Nothing runs by itself: misses of
 * the magazines, every TICK mallocs of a class, operations of the page heap
 * and, where there is one, the helper thread call scavenge_tick().
 *
 * Work is done in quanta, so that no malloc waits longer than about a
 * millisecond; while more is waiting ticks come at shorter distance.
 *
 * With a memory limit (GOMEMLIMIT) there is no waiting: what would exceed it
 * is preceded by giving back as much idle memory as is over it (limits.c).
 *
 * Invariant: S1 lowwater <= mheap.pages_idle, under mheap.lock.
 *
 * Rejected: a thread of our own by default (unshare, sandboxes and fork
 * servers break in threaded processes); MADV_FREE (RSS would not fall);
 * Go's pacing by CPU share, which needs the thread.
 */
#include "alloc/scavenge.h"
#include "alloc/mcentral.h"
#include "alloc/mheap.h"
#include "alloc/peak.h"
#include "base/atomics.h"
#include "base/fmt.h"
#include "base/options.h"
#include "os/sysmem.h"

#include <time.h>
#include <unistd.h>

enum {
	WINDOW_MS = 1000,	   /* idle that long: nobody needs it */
	QUANTUM = 4096,		   /* pages (32 MiB) at a time */
	RESERVE = 8,		   /* pages (64 KiB) that always stay */
	WORTHWHILE = 1024,	   /* pages (8 MiB) that make ticks hurry */
};

static struct scavenge {
	uint64_t window_start; /* ms */
	uint64_t last_op;      /* ms, last page taken or freed */
	size_t lowwater;       /* fewest idle pages in this window */
	size_t backlog;	       /* pages still to be given back */
} scav;

uint64_t scavenge_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Signed: since may come from a thread that looked at the clock later. */
static bool elapsed(uint64_t now, uint64_t since)
{
	return (int64_t)(now - since) >= WINDOW_MS;
}

/* Under mheap.lock: a window ends, n idle pages were not needed in it. */
static void end_window(uint64_t now, size_t n)
{
	n = n > RESERVE ? n - RESERVE : 0;
	store_relaxed(&scav.backlog, MAX(scav.backlog, n));
	scav.lowwater = mheap.pages_idle;
	peak_forget();
	store_relaxed(&scav.window_start, now);
}

/*
 * Under mheap.lock, after any change. If nothing had happened for a whole
 * window, all that is idle was not needed.
 */
static void operation(void)
{
	uint64_t now = scavenge_now_ms();

	if (elapsed(now, scav.last_op))
		end_window(now, mheap.pages_idle);
	scav.last_op = now;
	scav.lowwater = MIN(scav.lowwater, mheap.pages_idle);
	store_relaxed(&scav.backlog, MIN(scav.backlog, mheap.pages_idle));
}

void scavenge_took(void)
{
	operation();
}

void scavenge_freed(void)
{
	operation();
}

void scavenge_unneeded(size_t npages)
{
	size_t most;

	if (npages == 0)
		return;
	lock(&mheap.lock);
	most = mheap.pages_idle - MIN(mheap.pages_idle, (size_t)RESERVE);
	store_relaxed(&scav.backlog, MIN(scav.backlog + npages, most));
	unlock(&mheap.lock);
}

uint64_t scavenge_waiting(void)
{
	if (load_relaxed(&mheap.pages_idle) <= WORTHWHILE)
		return 0;
	return load_relaxed(&scav.window_start) + 1;
}

/* A window has ended: decide how much of the idle memory goes. */
static void roll(uint64_t now)
{
	lock(&mheap.lock);
	if (!elapsed(now, scav.window_start))
		; /* another thread was faster */
	else if (elapsed(now, scav.last_op))
		end_window(now, mheap.pages_idle);
	else
		end_window(now, scav.lowwater);
	unlock(&mheap.lock);
	mcentral_settle();
}

/* As Go's printScavTrace() (mgcscavenge.go) spells it. */
static void trace(size_t pages, const char *forced)
{
	size_t inuse = load_relaxed(&mheap.pages_inuse);
	size_t idle = load_relaxed(&mheap.pages_idle);
	char buf[192];
	struct fmt f;

	if (pages == 0 || !options->godebug.scavtrace)
		return;
	fmt_init(&f, buf, sizeof(buf), STDERR_FILENO);
	fmt_printf(&f,
		"scav %zu KiB work (bg), %zu KiB work (eager), %zu KiB now, "
		"%zu%% util%s\n",
		*forced ? 0 : pages << (PAGE_SHIFT - 10),
		*forced ? pages << (PAGE_SHIFT - 10) : 0,
		load_relaxed(&mheap.pages_scav) << (PAGE_SHIFT - 10),
		inuse + idle ? inuse * 100 / (inuse + idle) : 0, forced);
	fmt_flush(&f);
}

size_t scavenge_forced(void)
{
	size_t n = mheap_scavenge(SIZE_MAX);

	trace(n, " (forced)");
	return n;
}

bool scavenge_tick(void)
{
	uint64_t now = scavenge_now_ms();
	size_t n, done;

	if (elapsed(now, load_relaxed(&scav.window_start)))
		roll(now);
	n = load_relaxed(&scav.backlog);
	if (n == 0)
		return false;
	done = mheap_scavenge(MIN(n, (size_t)QUANTUM));
	lock(&mheap.lock);
	/* Nothing given back: refused, or taken meanwhile. */
	n = done ? scav.backlog - MIN(scav.backlog, done) : 0;
	store_relaxed(&scav.backlog, n);
	scav.lowwater = MIN(scav.lowwater, mheap.pages_idle);
	unlock(&mheap.lock);
	trace(done, "");
	return n > 0;
}
