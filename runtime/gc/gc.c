/* SPDX-License-Identifier: MIT */
/*
 * gc: one cycle at a time.
 *
 *	claim --> gcstop() --> the copy marks --> gcend() --> release
 *	          lock held    nothing held        lock held
 *
 * Where there can be no copy, the cycle's owner marks (ahead.c), a slice at a
 * time, and the world is stopped once more before gcend().
 *
 * A cycle belongs to the thread that has claimed it: the one that has asked
 * and waits, or the helper, which looks in from time to time. The claim is no
 * lock: while the copy marks, which may take seconds, the program may fork, and
 * threads that wait for the claim can be brought to rest.
 *
 * At the end of the process locks are tried for a while: whoever has them may
 * have been killed, or interrupted by the very signal that ends it. A cycle of
 * somebody else's is told to give up.
 *
 * Invariants:
 *   G1  everything in gc.cycle belongs to the claim's owner, but for
 *       snapshot.pid, which gc_abandon() reads;
 *   G2  gc.lock is held wherever gc.cycle changes in a way that the child of a
 *       fork could not clear up.
 *
 * Locks: gc.lock (LOCK_GC), outermost; see gcstop.c and gcend.c for the rest.
 */
#include "base/atomics.h"
#include "base/options.h"
#include "gc/aside.h"
#include "gc/gccycle.h"
#include "gc/gcpace.h"
#include "gc/gctables.h"
#include "os/clock.h"
#include "os/syscall.h"
#include "profile/modules.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
	WAIT_NS = 100000000,   /* between looks whether the process ends */
	RETRY_NS = 500000,     /* at the end: between tries for the claim */
	SLICE_NS = 5000000,    /* to mark at a time, without a copy */
};

static struct {
	uint32_t claimed; /* 0, 1, or 2: and somebody waits for it */
	int owner;	  /* tid */
	int pid;	  /* of the process that has made the copy */
	bool marking;	  /* the copy does; the owner holds no lock */
	bool ending;	  /* a running cycle should give up */
	int64_t begun_ns, last_ns; /* of the cycle; how long the last one took */
	struct lock lock;
	struct cycle cycle;
} gc = {.lock = LOCK_INIT(LOCK_GC)};

struct gc_hooks gc_hooks;

/* -------- the claim -------- */

static bool try_claim(void)
{
	uint32_t free = 0;

	/* acquire [cycle]: pairs with the release in release(). */
	if (!cas_acquire(&gc.claimed, &free, 1))
		return false;
	gc.owner = (int)sys0(SYS_gettid);
	return true;
}

static void claim(void)
{
	if (try_claim())
		return;
	/* acquire [cycle]: as above. */
	while (xchg_acquire(&gc.claimed, 2) != 0)
		sys4(SYS_futex, &gc.claimed, FUTEX_WAIT_PRIVATE, 2, NULL);
	gc.owner = (int)sys0(SYS_gettid);
}

static void release(void)
{
	gc.owner = 0;
	/* release [cycle]: the next owner finds it all in order. */
	if (__atomic_exchange_n(&gc.claimed, 0, __ATOMIC_RELEASE) == 2)
		sys3(SYS_futex, &gc.claimed, FUTEX_WAKE_PRIVATE, 1);
}

/* This very thread's cycle was interrupted by a signal that ends us. */
static bool take_over(void)
{
	if (gc.owner != (int)sys0(SYS_gettid) || !gc.marking)
		return false;
	snapshot_kill(&gc.cycle.snapshot);
	ahead_end(&gc.cycle.ahead, false);
	gcjob_free(&gc.cycle.job);
	roots_free(&gc.cycle.roots);
	return true;
}

static bool claim_at_end(void)
{
	int64_t end = clock_mono_ns() + GC_LAST_NS;
	struct timespec ts = {0, RETRY_NS};

	store_relaxed(&gc.ending, true);
	while (!try_claim()) {
		if (take_over())
			return true;
		if (clock_mono_ns() > end)
			return false;
		sys2(SYS_nanosleep, &ts, NULL);
	}
	return true;
}

/* -------- the cycle -------- */

/* With the claim. Nothing of the last cycle's stays but what it reuses. */
static void clear(enum gc_reason reason, bool leaks)
{
	struct cycle *c = &gc.cycle;

	c->reason = reason;
	c->leaks = leaks;
	c->in_place = c->by_parts = c->at_rest = false;
	c->job.result = NULL;
	c->pause_ns = c->started_ns = c->mark_ns = c->cpu_ns = 0;
	c->outcome = GC_REFUSED;
	c->snapshot.error = 0;
	gc.pid = (int)sys0(SYS_getpid);
	gc.marking = false;
}

/* Under lock: the last step, whatever has happened. */
static const char *finish(const char *error)
{
	struct cycle *c = &gc.cycle;
	struct gcstats *s;

	if (!error) {
		gcend(c);
	} else {
		if (c->reason != GC_FORCED && c->reason != GC_EXIT)
			gcpace_put_off(c->heap_start);
		s = gcstats_begin();
		s->cycles[c->reason][c->outcome]++;
		s->next_gc = gcpace_goal();
		gcstats_end();
	}
	gcjob_free(&c->job);
	roots_free(&c->roots);
	ahead_end(&c->ahead, false);
	gc.marking = false;
	store_relaxed(&gc.last_ns, clock_mono_ns() - gc.begun_ns);
	gc_event(GC_EVENT_DONE, 0, 0);
	unlock(&gc.lock);
	release();
	return error;
}

static enum gc_progress begin(
	enum gc_reason reason, bool leaks, const char **error)
{
	struct cycle *c = &gc.cycle;

	/* Takes the loader's lock, whose owner may fork. */
	if (reason != GC_EXIT)
		modules_refresh();
	if (reason != GC_EXIT) {
		lock(&gc.lock);
	} else if (!gcstop_lock_within(&gc.lock, GC_LAST_NS)) {
		*error = "a lock is held for ever";
		release();
		return GC_ENDED;
	}
	clear(reason, leaks);
	gc.begun_ns = clock_mono_ns();
	gc_event(GC_EVENT_START, reason, 0);
	*error = gcstop(c);
	if (!*error && !c->in_place) {
		gc.marking = true;
		unlock(&gc.lock);
		return GC_RUNNING;
	}
	if (!*error) {
		c->cpu_ns = c->pause_ns;
		*error = c->job.result->error;
	}
	*error = finish(*error);
	return GC_ENDED;
}

/* The copy is gone: what has it left? */
static const char *verdict(enum snapshot_state state)
{
	struct cycle *c = &gc.cycle;

	c->cpu_ns = c->snapshot.cpu_ns;
	c->mark_ns = clock_mono_ns() - c->started_ns;
	if (state == SNAPSHOT_DONE)
		return c->job.result->error;
	c->outcome = GC_ABORTED;
	return state == SNAPSHOT_BUDGET ? "the program writes too much: the "
					  "copy was over its budget"
					: "the copy of the process was killed";
}

/* No copy marks but this thread, for a while; then the second stop. */
static enum gc_progress look_ahead(int64_t wait_ns, const char **error)
{
	struct cycle *c = &gc.cycle;
	int64_t until = clock_mono_ns() + MAX(wait_ns, (int64_t)SLICE_NS);
	bool done = ahead_mark(&c->ahead, until);

	if (!done && !load_relaxed(&gc.ending))
		return GC_RUNNING;
	gc_event(GC_EVENT_MARKED, (uint64_t)gc.owner, 0);
	modules_refresh();
	lock(&gc.lock);
	gc.marking = false;
	*error = done ? gcstop_again(c) : "the process ends";
	c->mark_ns = clock_mono_ns() - c->begun_ns;
	*error = finish(*error);
	return GC_ENDED;
}

static enum gc_progress look(int64_t wait_ns, const char **error)
{
	struct snapshot *s = &gc.cycle.snapshot;
	int pid = s->pid;
	enum snapshot_state state;

	if (gc.cycle.by_parts)
		return look_ahead(wait_ns, error);
	state = snapshot_wait(s, wait_ns);
	if (state == SNAPSHOT_RUNNING && load_relaxed(&gc.ending)) {
		snapshot_kill(s);
		state = SNAPSHOT_DIED;
	}
	if (state == SNAPSHOT_RUNNING)
		return GC_RUNNING;
	gc_event(GC_EVENT_MARKED, (uint64_t)pid, 0);
	lock(&gc.lock);
	*error = finish(verdict(state));
	return GC_ENDED;
}

enum gc_progress gc_begin(enum gc_reason reason, bool leaks, const char **error)
{
	if (!try_claim())
		return GC_BUSY;
	return begin(reason, leaks, error);
}

enum gc_progress gc_look(const char **error)
{
	return look(0, error);
}

struct wish {
	enum gc_reason reason;
	bool leaks;
	const char *error;
};

static void cycle(void *arg)
{
	struct wish *w = arg;
	enum gc_progress p;

	if (w->reason != GC_EXIT) {
		claim();
	} else if (!claim_at_end()) {
		w->error = "a cycle is under way for ever";
		return;
	}
	p = begin(w->reason, w->leaks, &w->error);
	while (p == GC_RUNNING)
		p = look(WAIT_NS, &w->error);
}

const char *gc_cycle(enum gc_reason reason, bool leaks)
{
	struct wish w = {reason, leaks, NULL};

	aside_call(cycle, &w);
	return w.error;
}

void gc_go_on(void)
{
	if (gc.cycle.at_rest)
		stw_start(&gc.cycle.stw);
	gc.cycle.at_rest = false;
	store_relaxed(&gc.ending, false);
}

void gc_abandon(void)
{
	int pid = load_relaxed(&gc.cycle.snapshot.pid);

	if (pid <= 0 || gc.pid != (int)sys0(SYS_getpid))
		return;
	sys2(SYS_kill, pid, SIGKILL);
	/* Its owner finds that out; but exec may be faster. */
	sys4(SYS_wait4, pid, NULL, __WALL, NULL);
}

bool gc_preexec(void)
{
	int64_t end = clock_mono_ns() + GC_LAST_NS;
	bool held;

	while (!(held = stw_trylock()) && stw_concerned() &&
		clock_mono_ns() < end)
		sys0(SYS_sched_yield);
	gc_abandon();
	return held;
}

void gc_exec_failed(bool held)
{
	if (held)
		stw_unlock();
}

/* -------- settings -------- */

AT_START static void publish_goal(void)
{
	gcstats_begin()->next_gc = gcpace_goal();
	gcstats_end();
	gc_event(GC_EVENT_GOAL, gcpace_goal(), 0);
}

int gc_set_percent(int percent)
{
	int old;

	if (options->gc == GC_OFF)
		return -1;
	lock(&gc.lock);
	old = gcpace_set_percent(percent);
	publish_goal();
	unlock(&gc.lock);
	if (percent >= 0 && gc_hooks.request)
		gc_hooks.request();
	return old;
}

void gc_look_at_limit(void)
{
	uint64_t before;

	lock(&gc.lock);
	before = gcpace_goal();
	gcpace_set_ceiling(gcpoll_ceiling());
	if (gcpace_goal() != before)
		publish_goal();
	unlock(&gc.lock);
}

int64_t gc_last_ns(void)
{
	return load_relaxed(&gc.last_ns);
}

AT_START void gc_init(void)
{
	stw_init();
	gcpoll_start();
	gcpace_set_percent(options->gc == GC_OFF ? -1 : options->gogc);
	publish_goal();
}

/* -------- fork -------- */

void gc_prefork(void)
{
	lock(&gc.lock);
	gcend_prefork();
	gctables_lock();
	stw_prefork();
}

void gc_postfork_parent(void)
{
	stw_postfork_parent();
	gctables_unlock();
	gcend_postfork_parent();
	unlock(&gc.lock);
}

/*
 * The child has its parent's heap and none of its history. A cycle that was
 * under way is the parent's.
 */
void gc_postfork_child(void)
{
	struct cycle *c = &gc.cycle;

	stw_postfork_child();
	gctables_postfork_child();
	gcend_postfork_child();
	lock_reinit(&gc.lock);
	ahead_end(&c->ahead, true);
	gcjob_free(&c->job);
	roots_free(&c->roots);
	snapshot_postfork_child(&c->snapshot);
	gc.claimed = 0;
	gc.owner = 0;
	gc.marking = gc.ending = false;
	gcstats_postfork_child();
	gcpoll_start();
	gcpace_postfork_child();
	publish_goal();
}
