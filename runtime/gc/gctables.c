/* SPDX-License-Identifier: MIT */
/* gctables: see the header. */
#include "gc/gctables.h"
#include "base/lock.h"
#include "os/clock.h"

static struct lock tables = LOCK_INIT(LOCK_GCTABLES);

void gctables_lock(void)
{
	lock(&tables);
}

bool gctables_trylock(int64_t ns)
{
	int64_t end = clock_mono_ns() + ns;

	while (!trylock(&tables)) {
		if (clock_mono_ns() > end)
			return false;
		sys0(SYS_sched_yield);
	}
	return true;
}

void gctables_unlock(void)
{
	unlock(&tables);
}

void gctables_postfork_child(void)
{
	lock_reinit(&tables);
}
