/* SPDX-License-Identifier: MIT */
/*
 * emit_env: what Prometheus shows next to MemStats, from this process. Apart
 * from emit.c, which the tool links without the runtime behind it.
 */
#include "alloc/limits.h"
#include "alloc/mheap.h"
#include "gc/gcpace.h"
#include "observe/emit.h"
#include "os/tasks.h"

void emit_env_read(struct emit_env *env)
{
	env->gogc = gcpace_percent();
	env->memlimit = limits_set_memory(-1);
	env->threads = tasks_count();
	env->gomaxprocs = cpus_usable();
}
