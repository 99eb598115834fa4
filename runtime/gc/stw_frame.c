/* SPDX-License-Identifier: MIT */
/*
 * stw_frame: what the kernel puts on the stack of a thread that is stopped by a
 * signal, and what it leaves there.
 *
 *	       uc                  info      fp                  sp - 128
 *	| ... | registers, mask | siginfo | ~ | x87 SSE ~ AVX ~ ... | ~ | ...
 *
 * All of it is a root: the interrupted registers are in there, vectors too. But
 * the kernel writes only what it has to say. The rest (~: alignment, reserved
 * bytes, places of states that this thread does not use or the processor no
 * longer has) shows through from calls that have returned long ago, hundreds of
 * bytes of it, and an address in there would keep a leak alive: this is where
 * the deepest frames of the busiest function lie. So it is overwritten.
 *
 * Nobody reads these bytes but us: the processor takes a state from the frame
 * only if the frame's header says that it is there, and reserved bytes never.
 *
 * Where each state lies the processor tells (CPUID leaf 13), which is slow in
 * virtual machines: asked once, before the first signal is sent.
 */
#include "gc/stw_ways.h"

#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum {
	LEGACY = 512,	    /* bytes of x87 and SSE state, */
	RESERVED = 416,	    /* of which those from here */
	SOFTWARE = 464,	    /* to here nobody uses */
	HEADER_END = 576,   /* and of the header that follows it */
	MAGIC = 0x46505853, /* there is more than the legacy part */
	NSTATES = 64,
	RED_ZONE = 128,
	MOST_PADDING = 256, /* no alignment needs more */
};

/* What the kernel says in the bytes left to software. */
struct software {
	uint32_t magic, extended_size;
	uint64_t states;
	uint32_t size;
};

static struct {
	uint32_t offset, size;
} state[NSTATES];

void stw_frame_init(void)
{
	uint32_t a, b, c, d;

	if (state[2].size || !__get_cpuid_count(13, 0, &a, &b, &c, &d))
		return;
	for (uint32_t i = 2; i < NSTATES - 1; i++) {
		__cpuid_count(13, i, a, b, c, d);
		if (!a || c & 1) /* not there; kept by the kernel */
			continue;
		state[i].offset = b;
		state[i].size = a;
	}
}

static void wipe(char *lo, char *hi)
{
	if (lo < hi)
		memset(lo, 0, (size_t)(hi - lo));
}

/* The lowest state of the set at or above an offset; NSTATES: none. */
static unsigned next_state(uint64_t set, uint32_t offset)
{
	unsigned best = NSTATES;

	for (unsigned i = 2; i < NSTATES; i++)
		if (set >> i & 1 && state[i].size &&
			state[i].offset >= offset &&
			(best == NSTATES ||
				state[i].offset < state[best].offset))
			best = i;
	return best;
}

static void wipe_states(char *fp, uint64_t used, uint32_t size)
{
	uint32_t at = HEADER_END;
	unsigned i;

	while ((i = next_state(used, at)) < NSTATES &&
		state[i].offset + state[i].size <= size) {
		wipe(fp + at, fp + state[i].offset);
		at = state[i].offset + state[i].size;
	}
	/* One that is not known may be anywhere behind. */
	if (i == NSTATES)
		wipe(fp + at, fp + size);
}

/* All states of the set are among those that CPUID told of. */
static bool known(uint64_t set)
{
	for (unsigned i = 2; i < NSTATES; i++)
		if (set >> i & 1 && !state[i].size)
			return false;
	return true;
}

void stw_frame_wipe(void *info, void *context)
{
	ucontext_t *uc = context;
	char *fp = (char *)uc->uc_mcontext.fpregs;
	char *sp = (char *)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE;
	char *end = (char *)info + sizeof(siginfo_t);
	struct software sw;
	uint64_t used;

	if (!fp || fp < end || fp - end > MOST_PADDING)
		return;
	memset(uc->uc_mcontext.__reserved1, 0,
		sizeof(uc->uc_mcontext.__reserved1));
	wipe(end, fp);
	wipe(fp + RESERVED, fp + SOFTWARE);
	memcpy(&sw, fp + SOFTWARE, sizeof(sw));
	if (sw.magic != MAGIC || sw.size < HEADER_END ||
		sw.extended_size < sw.size + 4)
		return;
	memcpy(&used, fp + LEGACY, sizeof(used));
	if (known(used))
		wipe_states(fp, used, sw.size);
	end = fp + sw.extended_size;
	if (sp > end && sp - end <= MOST_PADDING)
		wipe(end, sp);
}
