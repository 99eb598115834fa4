/* SPDX-License-Identifier: MIT */
/*
 * threadinfo: what created the threads.
 *
 *	pthread_create ──▶ stack id ─┬─▶ site[hash(stack)].count++
 *	                             └─▶ origin[hash(pthread_t)] = stack, creator
 *
 * The first table is a profile: which code creates threads, those that have
 * ended included. The second one answers for a thread that lives; a pthread_t
 * is used again when its thread has ended, and the new owner's entry replaces
 * the old one's, so nobody has to tell us that a thread ends.
 *
 * A thread is some 10 us of work for the kernel, its stack is walked in 1.
 *
 * Invariants:
 *   I1  the stack of a site does not change once it is set;
 *   I2  an origin's what belongs to its thread while thread reads the same
 *       before and after.
 *
 * Locks: none. Both tables have a fixed size and lie untouched until the first
 * thread; what finds no room is counted under stack 0, and a thread whose origin
 * was driven out has none.
 *
 * Rejected: a start routine of ours that notes the thread's own id (every
 * thread would have a frame of ours at its outer end).
 */
#include "profile/threadinfo.h"
#include "base/atomics.h"
#include "os/sandbox.h"
#include "os/syscall.h"
#include "profile/modules.h"
#include "profile/stacktab.h"
#include "profile/unwind.h"

#include <string.h>

enum {
	NSITES = 512,
	NORIGINS = 8192, /* threads at a time, in sets of WAYS */
	WAYS = 4,
	DEPTH = 64,
};

struct origin {
	uint64_t thread;
	uint64_t what; /* stack << 32 | creator */
};

static struct {
	uint32_t stack[NSITES]; /* 0: free */
	uint64_t count[NSITES];
	uint64_t others;
	uint32_t used; /* not 0: something is in the tables */
	uint32_t turn; /* whom to drive out */
	struct origin origin[NORIGINS];
} info;

static uint64_t *count_of(uint32_t stack)
{
	uint32_t h = stack * 0x9e3779b1u >> 8;

	for (unsigned i = 0; i < NSITES; i++, h++) {
		uint32_t free = 0;
		uint32_t *at = &info.stack[h % NSITES];

		if (load_relaxed(at) == stack ||
			cas_relaxed(at, &free, stack) || free == stack)
			return &info.count[h % NSITES];
	}
	return &info.others;
}

static struct origin *set_of(uintptr_t thread)
{
	uint64_t h = (uint64_t)thread * UINT64_C(0x9e3779b97f4a7c15) >> 40;

	return &info.origin[h * WAYS % NORIGINS];
}

static void note_origin(uintptr_t thread, uint32_t stack, int creator)
{
	struct origin *set = set_of(thread), *o = NULL;

	for (unsigned i = 0; i < WAYS; i++)
		if (load_relaxed(&set[i].thread) == thread)
			o = &set[i];
	for (unsigned i = 0; i < WAYS && !o; i++)
		if (!load_relaxed(&set[i].thread))
			o = &set[i];
	if (!o)
		o = &set[add_relaxed(&info.turn, 1) % WAYS];
	/*
	 * release [origin]: a reader that sees the new what sees that thread
	 * was nobody's in between.
	 */
	store_relaxed(&o->thread, 0);
	store_release(&o->what, (uint64_t)stack << 32 | (uint32_t)creator);
	store_release(&o->thread, (uint64_t)thread);
}

bool threadinfo_origin(uintptr_t thread, uint32_t *stack, int *creator)
{
	struct origin *set = set_of(thread);

	for (unsigned i = 0; thread && i < WAYS; i++) {
		uint64_t what;

		/* acquire [origin]: pairs with note_origin(), twice. */
		if (load_acquire(&set[i].thread) != thread)
			continue;
		what = load_acquire(&set[i].what);
		if (load_relaxed(&set[i].thread) != thread)
			continue;
		*stack = (uint32_t)(what >> 32);
		*creator = (int)(uint32_t)what;
		return *stack != 0;
	}
	return false;
}

NOINLINE void threadinfo_created(uintptr_t thread)
{
	uintptr_t pc[DEPTH];
	uint32_t stack = 0;
	int creator = 0;

	if (!sandboxed) {
		stack = stacktab_intern(
			pc, unwind_here(pc, DEPTH), modules_generation());
		creator = (int)sys0(SYS_gettid);
	}
	store_relaxed(&info.used, 1);
	add_relaxed(stack ? count_of(stack) : &info.others, 1);
	note_origin(thread, stack, creator);
}

bool threadinfo_next(size_t *at, struct threadinfo_site *site)
{
	while (*at < NSITES) {
		size_t i = (*at)++;

		*site = (struct threadinfo_site){
			.stack = load_relaxed(&info.stack[i]),
			.count = load_relaxed(&info.count[i])};
		if (site->stack && site->count)
			return true;
	}
	*site = (struct threadinfo_site){.count = load_relaxed(&info.others)};
	return (*at)++ == NSITES && site->count;
}

void threadinfo_postfork_child(void)
{
	if (info.used)
		memset(&info, 0, sizeof(info));
}
